# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`postgres_patches`: overlays on rendered objects, merged as Kubernetes' strategic merge does it.

Dictionaries merge, null removes a key, and lists of things with a name (containers, volumes, env, ports) merge by that
name; a volume mount is known by its path. Other lists are replaced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_KEYS: Mapping[str, str] = {"volumeMounts": "mountPath", "ports": "name", "topologySpreadConstraints": "topologyKey"}


def overlay(objects: Sequence[Mapping[str, Any]], patches: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The objects with every patch merged into those it names (all of its kind without a name).

    Raises ValueError for a patch that names nothing: it would be ignored silently otherwise.
    """
    result = [dict(each) for each in objects]
    for patch in patches:
        chosen = [index for index, each in enumerate(result) if _is_meant(each, patch)]
        if not chosen:
            known = sorted(f"{each['kind']} {each['metadata']['name']}" for each in objects)
            wanted = f"{patch['kind']} {patch.get('name') or '(any)'}"
            raise ValueError(f"postgres_patches: there is no {wanted}; there are {', '.join(known)}")
        for index in chosen:
            result[index] = merged(result[index], patch["merge"])
    return result


def patched(objects: Sequence[dict[str, Any]], patches: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Those of the objects that any of the patches changes."""
    return [each for each in objects if any(_is_meant(each, patch) for patch in patches)]


def _is_meant(each: Mapping[str, Any], patch: Mapping[str, Any]) -> bool:
    return bool(each["kind"] == patch["kind"] and patch.get("name") in (None, each["metadata"]["name"]))


def merged(value: Any, change: Any, field: str = "") -> Any:
    if isinstance(value, Mapping) and isinstance(change, Mapping):
        result = dict(value)
        for name, each in change.items():
            if each is None:
                result.pop(name, None)
            else:
                result[name] = merged(result.get(name), each, name)
        return result
    key = _KEYS.get(field, "name")
    if _is_keyed(value, key) and _is_keyed(change, key):
        changes = {each[key]: each for each in change}
        kept = [merged(each, changes.pop(each[key], {})) for each in value]
        return kept + list(changes.values())
    return change


def _is_keyed(value: Any, key: str) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, Mapping) and key in each for each in value)
