# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What moved between two versions of an object, and how that is shown without showing secrets."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

from .masking import MASK, MASK_CHANGED, hidden, hidden_since

# kubectl keeps a copy of the whole object in it, of a Secret's values too.
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
LATER = "(known after apply)"
# Annotations in which the dynamic configuration is, as JSON.
_CONFIGURATIONS = ("config", "config-applied")

# Fields that the API server or a controller keeps; they say nothing about what was declared.
_KEPT_BY_SERVER = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid")


def declared(definition: Mapping[str, Any] | None) -> dict[str, Any]:
    """The object without what the server keeps."""
    if not definition:
        return {}
    result = copy.deepcopy(dict(definition))
    result.pop("status", None)
    metadata = result.get("metadata") or {}
    for name in _KEPT_BY_SERVER:
        metadata.pop(name, None)
    return result


def changed_fields(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[str]:
    """Paths that differ, in reading order, such as `spec.ports[0].port`."""
    return [found[0] for found in _differences(declared(before), declared(after), "")]


def _differences(before: Any, after: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in [*before, *(name for name in after if name not in before)]:
            yield from _differences(before.get(name), after.get(name), _join(path, name))
    elif isinstance(before, list) and isinstance(after, list):
        for index in range(max(len(before), len(after))):
            ours = before[index] if index < len(before) else None
            theirs = after[index] if index < len(after) else None
            yield from _differences(ours, theirs, f"{path}[{index}]")
    elif before != after:
        yield path, before, after


def _join(path: str, name: str) -> str:
    if "." in name or "/" in name:
        return f'{path}["{name}"]'
    return f"{path}.{name}" if path else name


def masked(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both versions without what the server keeps and, of a Secret, without its values; of a dynamic configuration
    without the secrets in it.

    Nothing derived from a value is shown either (no length, no hash): only whether it changed.
    """
    first, second = declared(before), declared(after)
    if "Secret" not in (first.get("kind"), second.get("kind")):
        _mask_configurations(_annotations(first), _annotations(second))
        _mask_texts(first, second)
        return first, second
    for version in (first, second):
        annotations = _annotations(version)
        if LAST_APPLIED in annotations:
            annotations[LAST_APPLIED] = MASK
    for field in ("data", "stringData"):
        old, new = first.get(field) or {}, second.get(field) or {}
        if old:
            first[field] = dict.fromkeys(old, MASK)
        if new:
            second[field] = {name: _masked_value(name, value, old) for name, value in new.items()}
    return first, second


def _masked_value(name: str, value: Any, old: Mapping[str, Any]) -> str:
    if value == LATER:
        return LATER
    return MASK_CHANGED if name in old and old[name] != value else MASK


def _annotations(version: Mapping[str, Any]) -> dict[str, Any]:
    return (version.get("metadata") or {}).get("annotations") or {}


def _mask_configurations(before: dict[str, Any], after: dict[str, Any]) -> None:
    for name in _CONFIGURATIONS:
        old, new = _read(before.get(name)), _read(after.get(name))
        if name in after:
            after[name] = _text(after[name], new, hidden_since(old, new))
        if name in before:
            before[name] = _text(before[name], old, hidden(old))
    for found in (before, after):
        if LAST_APPLIED in found and any(name in found for name in _CONFIGURATIONS):
            found[LAST_APPLIED] = MASK


def _mask_texts(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Of a ConfigMap: a command that somebody declared may name a password."""
    old, new = before.get("data"), after.get("data")
    if after.get("kind", before.get("kind")) == "ConfigMap":
        if isinstance(new, dict):
            after["data"] = hidden_since(old if isinstance(old, dict) else {}, new)
        if isinstance(old, dict):
            before["data"] = hidden(old)


def _read(text: Any) -> Any:
    """What is no JSON is a text like any other."""
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return text


def _text(given: Any, value: Any, shown: Any) -> Any:
    """As it was given, unless something in it is hidden."""
    if shown == value:
        return given
    return shown if isinstance(shown, str) else json.dumps(shown, sort_keys=True)
