# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PGO PostgresCluster as the source of variables, beside those of the inventory.

Nothing of a manifest is left out in silence: a field is taken over, or refused with its path, unless
`postgres_manifest_ignore` names it. What the inventory says otherwise is refused, naming both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .checks import Problems, given, nearest
from .manifest_fields import CHILDREN, FIELDS, READ_ONLY, Field
from .manifest_rules import at, check
from .names import PGO_PREFIX

PGO_DEFAULTS: Mapping[str, Any] = {
    "postgres_create_user_schema": False,
    "postgres_label_prefix": PGO_PREFIX,
    "postgres_ttl": 30,
    "postgres_loop_wait": 10,
    "postgres_retry_timeout": 10,
}
"""What PGO does where a manifest says nothing, and the inventory neither."""
_INDEX = re.compile(r"\[\d+\]")


@dataclass
class Reading:
    """What a manifest comes to: variables, and the path that each of their parts came from."""

    problems: Problems
    ignored: Sequence[str]
    taken: list[tuple[Field, str, Any]] = field(default_factory=list)
    variables: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Origins:
    """Where the variables of a manifest come from, for whoever reads a problem."""

    paths: Mapping[str, str] = field(default_factory=dict)
    """Variable, or part of one -> path in the manifest."""
    variables: frozenset[str] = frozenset()
    sound: bool = True
    """Nothing was refused in the manifest itself."""


def with_manifest(
    stated: Mapping[str, Any], defaults: Mapping[str, Any], host: str, problems: Problems
) -> tuple[dict[str, Any], Origins]:
    """The variables of the inventory and of its manifest, and where those of the manifest come from.

    A variable that has its default counts as not said: a role sets every default as if it were.
    """
    manifest = stated.get("postgres_cluster_manifest")
    if not manifest:
        return dict(stated), Origins()
    before = len(problems.texts)
    if not isinstance(manifest, Mapping):
        problems.add("postgres_cluster_manifest", manifest, "must be the name of a file or a PostgresCluster")
        return dict(stated), Origins()
    reading = Reading(problems, _ignored(stated.get("postgres_manifest_ignore") or [], problems))
    _walk(reading, manifest, "", "")
    found = Problems()
    check(manifest, found)
    problems.texts += [text for text in found.texts if not _is_ignored(reading, re.split(r"[=:]", text)[0])]
    for each, path, value in sorted(reading.taken, key=lambda taken: taken[0].rank):
        _assign(reading, each, path, value)
    _pooled(reading, manifest)
    for index, entry in enumerate(reading.variables.get("postgres_instances", [])):
        entry.setdefault("name", f"{index:02d}")
    said = {name: value for name, value in stated.items() if value != defaults.get(name)}
    if said.get("postgres_cluster_name") == host:
        del said["postgres_cluster_name"]
    merged = {name: _agreed(reading, name, said.get(name), value) for name, value in reading.variables.items()}
    origins = Origins(reading.origins, frozenset(reading.variables), len(problems.texts) == before)
    return {**PGO_DEFAULTS, **said, **merged}, origins


def located(texts: Sequence[str], origins: Origins) -> list[str]:
    """Problems that name variables, naming the manifest's fields that they came from as well.

    What is said of a field already is not said again of its variable.
    """
    fields = {re.split(r"[=:]", text)[0] for text in texts}
    result = []
    for text in texts:
        name = _longest(text, origins.paths)
        if "postgres_cluster_manifest" in text:
            result.append(text)
        elif name and origins.paths[name] not in fields:
            result.append(f"{origins.paths[name]} ({name}){text[len(name) :]}")
        elif not name and (origins.sound or not _longest(text, origins.variables)):
            result.append(text)
    return result


def _longest(text: str, names: Iterable[str]) -> str:
    """The longest of the names that this problem begins with."""
    return max((each for each in names if re.match(rf"{re.escape(each)}(?!\w)", text)), key=len, default="")


def _ignored(given_paths: Any, problems: Problems) -> list[str]:
    known = {*FIELDS, *CHILDREN}
    paths = [str(each) for each in problems.sequence("postgres_manifest_ignore", given_paths)]
    for path in paths:
        pattern = _INDEX.sub("[]", path)
        parents = (pattern[:end] for end in range(len(pattern) + 1))
        if pattern not in known and not any(each in FIELDS for each in parents):
            guess = nearest(pattern, sorted(known))
            hint = f"; did you mean {guess}?" if guess else ""
            problems.add("postgres_manifest_ignore", path, f"is no field of a PostgresCluster{hint}")
    return paths


def _is_ignored(reading: Reading, path: str) -> bool:
    """The field itself, or one above it; with the number of a list's entry or with []."""
    forms = (path, _INDEX.sub("[]", path))
    return any(form == each or form.startswith((f"{each}.", f"{each}[")) for form in forms for each in reading.ignored)


def _walk(reading: Reading, value: Any, path: str, pattern: str) -> None:
    if value is None or _is_ignored(reading, path):
        return
    if pattern in FIELDS:
        _take(reading, FIELDS[pattern], path, value)
        return
    names = CHILDREN[pattern]
    if names == ["[]"]:
        if not value and pattern == "spec.users":
            reading.variables["postgres_users"], reading.origins["postgres_users"] = [], path
        for index, each in enumerate(reading.problems.sequence(path, value)):
            _walk(reading, each, f"{path}[{index}]", f"{pattern}[]")
        return
    found = reading.problems.mapping(path, value)
    for name, each in found.items():
        below = f"{path}.{name}" if path else str(name)
        if name not in names:
            if not _is_ignored(reading, below):
                guess = nearest(str(name), names)
                hint = f"did you mean {guess}? " if guess else ""
                reading.problems.add(below, each, f"no such field; {hint}known are {', '.join(names)}")
            continue
        _walk(reading, each, below, f"{pattern}.{name}" if pattern else str(name))


def _take(reading: Reading, known: Field, path: str, value: Any) -> None:
    if known.target == READ_ONLY or (known.harmless and value in known.harmless):
        return
    if not known.target:
        without = f"; list {known.path} in postgres_manifest_ignore to do without"
        optional = known.path not in ("apiVersion", "kind")
        reading.problems.add(path, value, f"is not supported: {known.reason}{without if optional else ''}")
        return
    reading.taken.append((known, path, known.convert(value) if known.convert else value))


def _assign(reading: Reading, known: Field, path: str, value: Any) -> None:
    """Into the variable, which grows lists and dictionaries on the way."""
    numbers = iter(int(each[1:-1]) for each in _INDEX.findall(path))
    holder: Any = reading.variables
    *parents, last = known.target.split(".")
    place = ""
    for name in parents:
        bare = name.removesuffix("[]")
        place = f"{place}.{bare}" if place else bare
        if name == bare:
            holder = holder.setdefault(bare, {})
            continue
        entries, number = holder.setdefault(bare, []), next(numbers)
        entries += [{} for dummy in range(number + 1 - len(entries))]
        holder, place = entries[number], f"{place}[{number}]"
    place = f"{place}.{last}" if place else last
    before = holder.get(last)
    if isinstance(before, Mapping) and isinstance(value, Mapping):
        value = {**before, **value}
    elif isinstance(before, list) and isinstance(value, list):
        value = [*before, *value]
    holder[last] = value
    reading.origins[place] = path
    if isinstance(value, Mapping):
        reading.origins.update({f"{place}.{name}": f"{path}.{name}" for name in value if name not in (before or {})})


def _pooled(reading: Reading, manifest: Mapping[str, Any]) -> None:
    """A pooler although nothing is said of it, and PgBouncer's own mode: PGO leaves that among its settings."""
    path, name = "spec.proxy.pgBouncer", "postgres_pooler"
    if at(manifest, path) is None or _is_ignored(reading, path):
        return
    reading.origins.setdefault(name, path)
    pooler = reading.variables.setdefault(name, {})
    parameters = pooler.get("parameters")
    mode = parameters.get("pool_mode") if isinstance(parameters, Mapping) else None
    pooler["pool_mode"] = "session" if mode is None else mode
    if isinstance(parameters, Mapping):
        pooler["parameters"] = {each: value for each, value in parameters.items() if each != "pool_mode"}
    reading.origins[f"{name}.pool_mode"] = f"{path}.config.global.pool_mode"


def _agreed(reading: Reading, name: str, said: Any, value: Any) -> Any:
    """One value for a variable that inventory and manifest both give. Dictionaries go together unless a key differs."""
    if said is None or str(said) == str(value):
        return value
    if isinstance(said, Mapping) and isinstance(value, Mapping):
        for key in said:
            if key in value and str(said[key]) != str(value[key]):
                _contradicts(reading, f"{name}.{key}", said[key], value[key])
        return {**said, **value}
    _contradicts(reading, name, said, value)
    return value


def _contradicts(reading: Reading, name: str, said: Any, value: Any) -> None:
    """Lists of dictionaries come from many fields: the one that they have in common is named, without a value."""
    theirs = given(reading.origins[name], value) if name in reading.origins else _common(reading, name)
    reading.problems.add(name, said, f"contradicts {theirs} of postgres_cluster_manifest; remove one of them")


def _common(reading: Reading, name: str) -> str:
    return next(path.split("[")[0] for place, path in reading.origins.items() if place.startswith(f"{name}["))
