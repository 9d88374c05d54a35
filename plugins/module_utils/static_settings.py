# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of static settings that every member runs by, and what of it a cluster that is there cannot follow.

Running agents read a changed file at once, whatever their pods and their PostgreSQL were started with: another data
directory, ports that nobody listens on, labels by which nobody finds them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

try:
    import yaml
except ImportError:  # kubernetes needs PyYAML too, and its absence is reported in its name
    yaml = None  # type: ignore[assignment]

from .names import key_of

FILE = "pgherd.yaml"

_ANEW = "delete the cluster (its volumes are kept) and make it anew"
FIXED: Mapping[str, tuple[tuple[str, ...], str]] = {
    "postgres_version": (
        ("postgres", "version"),
        "copy the data into another cluster of the version that is wanted (pg_dump, logical replication)",
    ),
    "postgres_port": (("postgres", "port"), _ANEW),
    "postgres_rest_port": (("rest", "port"), _ANEW),
    "postgres_label_prefix": (
        ("label_prefix",),
        f"{_ANEW}, when the labels of the volumes have been given the new prefix by hand",
    ),
}
"""Variable -> where it is in the file, and how to get another value all the same."""


def static_settings(config_map: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the file says; nothing when it is not there or cannot be read."""
    try:
        found = yaml.safe_load(((config_map or {}).get("data") or {}).get(FILE) or "")
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


def declared(objects: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The object that holds the file, if it is among these."""
    return next((each for each in objects if each["kind"] == "ConfigMap" and FILE in (each.get("data") or {})), None)


def changes(wanted: Mapping[str, Any], live: Mapping[str, Any] | None) -> Iterator[str]:
    """A sentence for each setting of the declared object in which the one that is there differs and must not."""
    ours, theirs = static_settings(wanted), static_settings(live)
    namespace = wanted["metadata"]["namespace"]
    for variable, (place, instead) in FIXED.items():
        value, has = _at(ours, place), _at(theirs, place)
        if None in (value, has) or value == has:
            continue
        yield (
            f"{variable}={value}: {' '.join(key_of(wanted))} in namespace {namespace}, by which the members run, says "
            f"{has}, and that cannot be changed while the cluster is there. Set {variable} to {has}, or {instead}."
        )


def _at(settings: Mapping[str, Any], place: tuple[str, ...]) -> Any:
    found: Any = settings
    for name in place:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
