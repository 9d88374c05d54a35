# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers of the user's in the members' pods.

They share volumes and network with the database, never its process namespace: that its container ended proves that its
PostgreSQL is dead (S1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .checks import Problems
from .names import DNS_LABEL, NAME_RULE

RESERVED = ("database", "pgbackrest", "exporter")
FENCE = "identity"
"""Volume with the fence's own files."""
UNMOUNTABLE = "cannot be mounted: it is how agent and fence talk (S4)"
CONFINED: Mapping[str, Any] = {
    "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "privileged": False, "runAsNonRoot": True,
}  # fmt: skip


def sidecars(fields: Mapping[str, Any], where: str, problems: Problems) -> list[dict[str, Any]]:
    """As in a pod's `containers`; one that says nothing about security can do little."""
    found, names = list[dict[str, Any]](), set[str]()
    for index, entry in enumerate(problems.sequence(f"{where}.sidecars", fields.get("sidecars") or [])):
        place = f"{where}.sidecars[{index}]"
        container = problems.mapping(place, entry)
        name = problems.pattern(f"{place}.name", container.get("name"), DNS_LABEL, NAME_RULE)
        if name in RESERVED or name in names:
            problems.add(f"{place}.name", name, f"is taken; {', '.join(RESERVED)} are pgherd's own")
        names.add(name)
        if not isinstance(container.get("image"), str) or not container["image"]:
            problems.add(f"{place}.image", container.get("image"), "is required: an image with a tag or digest")
        problems.sequence(f"{place}.volumeMounts", container.get("volumeMounts") or [])
        if mounts_the_fences(container):
            problems.add(f"{place}.volumeMounts", FENCE, UNMOUNTABLE)
        found.append({"securityContext": dict(CONFINED), **container, "name": name})
    return found


def mounts_the_fences(container: Mapping[str, Any]) -> bool:
    mounts = container.get("volumeMounts")
    named = [each.get("name") for each in mounts if isinstance(each, Mapping)] if isinstance(mounts, list) else []
    return FENCE in named
