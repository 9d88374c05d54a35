# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Three-way merge of the dynamic configuration: what the inventory changed, and what an operator changed.

The annotation `config` is the only source that agents obey. Operators change it too (`edit-config`, REST), so the
play remembers its last value in `config-applied` and moves only what the inventory moved since.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .apply import Outcome, Refused
from .client import MERGE_PATCH, Api, ApiError
from .masking import hidden, hidden_since
from .names import FIELD_MANAGER, key_of, path_of
from .synchronous import synchronous_problem
from .timing import timing_problem

CONFIG, APPLIED = "config", "config-applied"
ATTEMPTS = 5
_MISSING: Any = object()


@dataclass(frozen=True)
class Conflict:
    key: str
    before: Any
    inventory: Any
    cluster: Any

    def __str__(self) -> str:
        before, ours, theirs = (
            "nothing" if value is _MISSING else json.dumps(shown(self.key, None, value)[1])
            for value in (self.before, self.inventory, self.cluster)
        )
        return f"{self.key}: was {before}, the inventory says {ours}, the cluster has {theirs}"


def merge(
    base: Mapping[str, Any], inventory: Mapping[str, Any], cluster: Mapping[str, Any], prefer: str, prefix: str = ""
) -> tuple[dict[str, Any], list[Conflict]]:
    """The configuration to write, and the keys that both sides changed since `base` (`prefer` decides those)."""
    result, conflicts = dict[str, Any](), list[Conflict]()
    for name in [*cluster, *(name for name in inventory if name not in cluster)]:
        before, ours, theirs = (side.get(name, _MISSING) for side in (base, inventory, cluster))
        if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
            known = before if isinstance(before, Mapping) else {}
            value, inner = merge(known, ours, theirs, prefer, f"{prefix}{name}.")
            conflicts += inner
        elif ours in (before, theirs):
            value = theirs
        elif theirs == before:
            value = ours
        else:
            conflicts.append(Conflict(prefix + name, before, ours, theirs))
            value = ours if prefer == "inventory" else theirs
        if value is not _MISSING:
            result[name] = value
    return result, conflicts


def apply_configuration(
    api: Api, definition: Mapping[str, Any], live: Mapping[str, Any], prefer: str, check: bool
) -> Outcome:
    """Write the merged configuration by compare-and-swap. Raises Refused on a conflict or impossible timing."""
    inventory = annotated(definition, CONFIG)
    for _attempt in range(ATTEMPTS):
        merged = _merged(inventory, live, prefer)
        annotations = {CONFIG: merged, APPLIED: inventory}
        wanted = {name: value for name, value in annotations.items() if annotated(live, name) != value}
        kind, name = key_of(definition)
        if not wanted:
            return Outcome(kind, name, "unchanged", after=live)
        texts = {key: json.dumps(value, sort_keys=True) for key, value in wanted.items()}
        patch = {"metadata": {"resourceVersion": live["metadata"]["resourceVersion"], "annotations": texts}}
        query = {"fieldManager": FIELD_MANAGER, **({"dryRun": "All"} if check else {})}
        try:
            after = api.request("PATCH", path_of(definition), patch, query, MERGE_PATCH)
        except ApiError as error:
            if error.status != 409:
                raise Refused(f"annotation {CONFIG} of {kind} {name}: {error.message}") from None
            live = api.request("GET", path_of(definition))
            continue
        fields = tuple(f'metadata.annotations["{key}"]' for key in wanted)
        return Outcome(kind, name, "changed", fields, live, after)
    raise Refused(f"annotation {CONFIG} was written by others {ATTEMPTS} times in a row; run the play again")


def refuse_conflict(definition: Mapping[str, Any], live: Mapping[str, Any], prefer: str) -> None:
    """Raises Refused where `apply_configuration` would, and asks nobody."""
    _merged(annotated(definition, CONFIG), live, prefer)


def _merged(inventory: Mapping[str, Any], live: Mapping[str, Any], prefer: str) -> dict[str, Any]:
    merged, conflicts = merge(annotated(live, APPLIED), inventory, annotated(live, CONFIG), prefer)
    if conflicts and prefer == "fail":
        raise Refused(
            "the dynamic configuration was changed both in the inventory and in the cluster: "
            + "; ".join(map(str, conflicts))
            + ". Make them agree, or set postgres_configuration_conflict to inventory or cluster."
        )
    problem = timing_problem(merged) or synchronous_problem(merged)
    if problem:
        raise Refused(f"the inventory and what an operator set in the cluster do not go together: {problem}")
    return merged


def configuration_changes(outcomes: Iterable[Outcome], name: str) -> list[dict[str, Any]]:
    """Keys that changed in the configuration object `name`, with both values as they may be shown."""
    found = [(each.before, each.after) for each in outcomes if each.name == name and each.action == "changed"]
    texts = [(annotated(before, CONFIG), annotated(after, CONFIG)) for before, after in found if before and after]
    changes = [change for before, after in texts for change in changed_keys(before, after)]
    return [{"key": each["key"], **dict(zip(("before", "after"), shown(**each), strict=True))} for each in changes]


def shown(key: str, before: Any, after: Any) -> tuple[Any, Any]:
    """Two values of a key with dots between its levels, without secrets; its last level may say that it is one."""
    name = key.rpartition(".")[2]
    return hidden({name: before})[name], hidden_since({name: before}, {name: after})[name]


def changed_keys(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "") -> Iterator[dict[str, Any]]:
    """Keys of two configurations that differ, with dots between the levels, and both values (None: not there)."""
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if isinstance(old, Mapping) or isinstance(new, Mapping):
            sides = (each if isinstance(each, Mapping) else {} for each in (old, new))
            yield from changed_keys(*sides, f"{prefix}{name}.")
        elif old != new:
            yield {"key": prefix + name, "before": old, "after": new}


def annotated(definition: Mapping[str, Any], annotation: str) -> dict[str, Any]:
    """A dictionary from an annotation, empty without it. Raises Refused when it is something else."""
    text: str = (definition["metadata"].get("annotations") or {}).get(annotation) or ""
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        kind, name = key_of(definition)
        begins = repr(hidden(text)[:40])
        raise Refused(f"annotation {annotation} of {kind} {name} is not a dictionary in JSON; it begins {begins}")
    return found
