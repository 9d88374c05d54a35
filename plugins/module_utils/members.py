# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the Kubernetes API knows of each member: from the lock, and from what its agent publishes in its own pod."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from .client import Api, ApiError
from .lease import Lease
from .names import path
from .static_settings import static_settings

PUBLISHED = "status"
"""Annotation of a member's pod, after the prefix of labels; Patroni's name for the same."""


def detailed(
    members: Iterable[Mapping[str, Any]], pods: Iterable[Mapping[str, Any]], lease: Lease, tags: Mapping[str, Any],
    prefix: str,
) -> list[dict[str, Any]]:  # fmt: skip
    """The members with what is known of their PostgreSQL; None where nobody said."""
    by_name = {pod["metadata"]["name"]: pod for pod in pods}
    return [
        {
            **member,
            **details(member["name"], by_name.get(member["name"]), lease, prefix),
            "tags": tags.get(member["name"], {}),
        }
        for member in members
    ]


def details(name: str, pod: Mapping[str, Any] | None, lease: Lease, prefix: str) -> dict[str, Any]:
    said = published(pod, prefix)
    candidate = name in lease.candidates
    # Who may take the lease streams from its holder, on its timeline.
    on_it = lease.timeline if candidate or name == lease.leader else None
    return {
        "candidate": candidate,
        "timeline": said.get("timeline") or on_it,
        "lag": lease.lag(name) if name != lease.leader else None,
        "streaming_from": said.get("streaming_from") or (lease.leader if candidate else None),
        "pending_restart": waiting(said),
    }


def waiting(said: Mapping[str, Any]) -> list[str] | None:
    """The parameters that wait for a restart; None where the agent has not said."""
    found = said.get("pending_restart")
    return sorted(found) if isinstance(found, Mapping) else None


def published(pod: Mapping[str, Any] | None, prefix: str) -> dict[str, Any]:
    """The agent's own words; none without a pod, and before its first."""
    text = (pod["metadata"].get("annotations") or {}).get(f"{prefix}{PUBLISHED}") if pod else None
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def declared_tags(api: Api, namespace: str, cluster: str) -> dict[str, Any]:
    """Tags by member as they were declared; none when that cannot be read."""
    try:
        found = api.request("GET", path("ConfigMap", namespace, f"{cluster}-config"))
    except ApiError as error:
        if error.status not in (403, 404):
            raise
        return {}
    tags = static_settings(found).get("tags")
    return tags if isinstance(tags, dict) else {}
