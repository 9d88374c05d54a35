# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Members that are no longer declared: what they keep until a rollout has removed them, in an order that disturbs
nobody. `label` is the one that names a member on whatever is its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .apply import Live, Scope


def kept(live: Live, label: str) -> set[tuple[str, str]]:
    """Members that are there and what they need."""
    names = {name for (kind, name), item in live.items()
             if kind == "StatefulSet" and label in (item["metadata"].get("labels") or {})}  # fmt: skip
    return {("StatefulSet", name) for name in names} | {("Secret", f"{name}-certs") for name in names}


def with_rights(objects: Sequence[dict[str, Any]], live: Live, scope: Scope, label: str) -> list[dict[str, Any]]:
    """The Role lets every member write into its own pod, also those that are not declared.

    By their volumes, which stay when a member has been removed: so the next run finds nothing to change.
    """
    volumes = [item for (kind, dummy), item in live.items() if kind == "PersistentVolumeClaim" and scope.owns(item)]
    names = {item["metadata"]["labels"].get(label) for item in volumes}
    pods = [f"{name}-0" for name in sorted(filter(None, names))]
    return [{**each, "rules": [_extended(rule, pods) for rule in each["rules"]]} if each["kind"] == "Role" else each
            for each in objects]  # fmt: skip


def _extended(rule: Mapping[str, Any], pods: Sequence[str]) -> dict[str, Any]:
    named = rule.get("resourceNames")
    if rule.get("resources") != ["pods"] or rule.get("verbs") != ["patch"] or not named:
        return dict(rule)
    return {**rule, "resourceNames": [*named, *(pod for pod in pods if pod not in named)]}
