# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which clusters there are, by their labels: three lists for each namespace, however many clusters it has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .apply import in_parallel
from .client import Api, ApiError
from .lease import Lease
from .members import details
from .names import KINDS, LOCK_KINDS, path
from .readiness import member_of

NOBODY = Lease("", {})


@dataclass(frozen=True)
class Found:
    name: str
    namespace: str
    lease: Lease
    members: tuple[dict[str, Any], ...]


class Forbidden(Exception):
    """The account may not look there; the text says what it may not list, and what to do."""


def discover(api: Api, namespaces: Sequence[str], prefix: str) -> list[Found]:
    """Every cluster of these namespaces, of all when none is named. Raises Forbidden, ApiError, Unreachable."""
    kinds = ("Pod", *LOCK_KINDS.values())
    places = [(kind, namespace) for namespace in namespaces or [""] for kind in kinds]
    lists = in_parallel(lambda place: _listed(api, *place, prefix), places)
    pods = [each for (kind, dummy), items in zip(places, lists, strict=True) if kind == "Pod" for each in items]
    locks = {
        (lock["metadata"]["namespace"], _cluster(lock, prefix)): Lease(kind, _annotations(lock))
        for (kind, dummy), items in zip(places, lists, strict=True)
        for lock in items
        if kind != "Pod" and _is_lock(lock, prefix)
    }
    members = [pod for pod in pods if f"{prefix}instance" in _labels(pod)]
    keys = {*locks, *((pod["metadata"]["namespace"], _cluster(pod, prefix)) for pod in members)}
    return [
        Found(name, namespace, lease, tuple(_members(members, namespace, name, lease, prefix)))
        for namespace, name in sorted(keys)
        for lease in [locks.get((namespace, name), NOBODY)]
    ]


def _members(
    pods: Iterable[Mapping[str, Any]], namespace: str, cluster: str, lease: Lease, prefix: str
) -> Iterator[dict[str, Any]]:
    mine = [pod for pod in pods if (pod["metadata"]["namespace"], _cluster(pod, prefix)) == (namespace, cluster)]
    for pod in sorted(mine, key=lambda each: str(each["metadata"]["name"])):
        name = pod["metadata"]["name"]
        member = {**member_of(name, pod, lease.leader, prefix), **details(name, pod, lease, prefix)}
        # PGO's label for the same.
        yield {**member, "role": "primary" if member["role"] == "master" else member["role"]}


def _listed(api: Api, kind: str, namespace: str, prefix: str) -> list[dict[str, Any]]:
    """What bears the label. Of the kinds that a lock may have an account need be allowed to see only its own."""
    where = path(kind, namespace) if namespace else "/".join(KINDS[kind])
    try:
        return list(api.request("GET", where, query={"labelSelector": f"{prefix}cluster"})["items"])
    except ApiError as error:
        if error.status == 404:
            return []  # an API server may have dropped Endpoints
        if error.status != 403:
            raise
        if kind == "EndpointSlice":
            return []
        place = (
            f"in namespace {namespace}" if namespace else "in all namespaces; name those that it may see (namespaces)"
        )
        raise Forbidden(f"this account lacks the right to list {KINDS[kind][1]} {place}") from None


def _is_lock(item: Mapping[str, Any], prefix: str) -> bool:
    return bool(item["metadata"]["name"] == f"{_cluster(item, prefix)}-ha" and "transitions" in _annotations(item))


def _cluster(item: Mapping[str, Any], prefix: str) -> str:
    return str(_labels(item)[f"{prefix}cluster"])


def _labels(item: Mapping[str, Any]) -> dict[str, str]:
    return item["metadata"].get("labels") or {}


def _annotations(item: Mapping[str, Any]) -> dict[str, str]:
    return item["metadata"].get("annotations") or {}
