"""The cluster's pods as members.

A death is proof that a container's processes are gone (ha-protocol §2, proof 2), so it is read narrowly:
`model.member.Death` states the rule, `deaths` applies it. A death once seen stays true, also after the
kubelet's next report or the pod's deletion took it out of the API.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

import msgspec
from lightkube.core.async_client import AsyncClient
from lightkube.models.core_v1 import ContainerStateTerminated, ContainerStatus
from lightkube.resources.core_v1 import Pod as ApiPod
from lightkube.types import PatchType

from pgherd.kubernetes.client import asking
from pgherd.kubernetes.follow import LIST_LIMIT, Report, closing, follow
from pgherd.kubernetes.store import PodSeen
from pgherd.model.member import Death, Pod

CONTAINER = "database"
_NO_PROOF = frozenset({"ContainerStatusUnknown", "Unknown"})
"""Reasons that are written without having seen the container end."""
POOLER = "pgbouncer"
"""Label `role` of a read-write pooler's pod."""
GHOSTS = 16
"""Deleted pods whose deaths are remembered."""


def _death(uid: str, ended: ContainerStateTerminated | None) -> Death | None:
    if ended is None or not ended.containerID or not ended.startedAt or not ended.finishedAt:
        return None
    return None if ended.reason in _NO_PROOF else Death(uid, ended.containerID)


def _database(item: ApiPod) -> ContainerStatus | None:
    statuses = (item.status.containerStatuses if item.status else None) or ()
    return next((status for status in statuses if status.name == CONTAINER), None)


def deaths(uid: str, status: ContainerStatus | None) -> tuple[Death, ...]:
    """The containers that the kubelet reports as terminated, and nothing that merely looks like it."""
    if status is None:
        return ()
    states = (state.terminated for state in (status.state, status.lastState) if state is not None)
    return tuple(dict.fromkeys(death for death in (_death(uid, ended) for ended in states) if death is not None))


def pod_seen(item: ApiPod, role_label: str) -> PodSeen | None:
    """The member behind an API object; None for something without a name."""
    if item.metadata is None or not item.metadata.name:
        return None
    status, uid = _database(item), item.metadata.uid or ""
    running = status.state.running if status and status.state else None
    last = status.lastState.terminated if status and status.lastState else None
    pod = Pod(
        member=item.metadata.name,
        uid=uid,
        address=item.status.podIP if item.status else None,
        node=(item.spec.nodeName if item.spec else None) or "",
        terminating=item.metadata.deletionTimestamp is not None,
        deaths=deaths(uid, status),
        container=(status.containerID or "") if status and running else "",
    )
    return PodSeen(
        pod=pod,
        role=(item.metadata.labels or {}).get(role_label, ""),
        started=running.startedAt.timestamp() if running and running.startedAt else None,
        last_ended=(last.containerID or "") if last else "",
        status=(item.metadata.annotations or {}).get(f"{role_label.removesuffix('role')}status", ""),
    )


class Census:
    """All pods by name, with every death ever seen of them; deleted ones stay as ghosts while they prove something."""

    def __init__(self, role_label: str) -> None:
        self._role_label = role_label
        self._living: dict[str, PodSeen] = {}
        self._ghosts: dict[str, PodSeen] = {}

    def reset(self, items: list[ApiPod]) -> None:
        """A new list: what it lacks was deleted unseen."""
        names = {item.metadata.name for item in items if item.metadata}
        for name in [name for name in self._living if name not in names]:
            self._bury(self._living.pop(name))
        for item in items:
            self.put(item)

    def put(self, item: ApiPod) -> None:
        seen = pod_seen(item, self._role_label)
        if seen is None:
            return
        before = self._living.get(seen.pod.member)
        if before is not None and before.pod.uid == seen.pod.uid:
            known = tuple(dict.fromkeys((*before.pod.deaths, *seen.pod.deaths)))
            seen = msgspec.structs.replace(seen, pod=msgspec.structs.replace(seen.pod, deaths=known))
        elif before is not None:
            self._bury(before)
        self._living[seen.pod.member] = seen

    def remove(self, item: ApiPod) -> None:
        self.put(item)
        seen = self._living.pop(item.metadata.name or "", None) if item.metadata else None
        if seen is not None:
            self._bury(seen)

    def _bury(self, seen: PodSeen) -> None:
        """Deletion itself proves nothing: a ghost without a seen death is forgotten."""
        if not seen.pod.deaths:
            return
        pod = msgspec.structs.replace(seen.pod, address=None, terminating=True, container="")
        self._ghosts[pod.uid] = msgspec.structs.replace(seen, pod=pod, started=None)
        while len(self._ghosts) > GHOSTS:
            self._ghosts.pop(next(iter(self._ghosts)))

    def all(self) -> tuple[PodSeen, ...]:
        return (*self._living.values(), *self._ghosts.values())


class ClusterPods:
    """PodStore: pods with the labels `<prefix>cluster=<cluster>` and `<prefix>data=postgres`."""

    SILENCE = 60.0
    """Seconds without a change after which the list is asked for again."""

    def __init__(self, client: AsyncClient, cluster: str, prefix: str, report: Report) -> None:
        self._client = client
        self._labels = {f"{prefix}cluster": cluster, f"{prefix}data": "postgres"}
        self._role_label = f"{prefix}role"
        self._poolers = {f"{prefix}cluster": cluster, self._role_label: POOLER}
        self._census = Census(self._role_label)
        self._report = report

    async def begin(self) -> tuple[tuple[PodSeen, ...], str]:
        async with asking("list pods", LIST_LIMIT):
            found = self._client.list(ApiPod, labels=dict(self._labels))
            self._census.reset([item async for item in found])
            return self._census.all(), found.resourceVersion

    async def changes(self, version: str) -> AsyncGenerator[tuple[PodSeen, ...], None]:
        labels: dict[str, Any] = dict(self._labels)
        async with closing(self._client.watch(ApiPod, labels=labels, resource_version=version)) as events:
            async for kind, item in events:
                if kind == "DELETED":
                    self._census.remove(item)
                elif kind != "BOOKMARK":
                    self._census.put(item)
                yield self._census.all()

    async def follow(self) -> AsyncIterator[tuple[PodSeen, ...]]:
        async for pods in follow(self, lambda: self.SILENCE, self._report):
            yield pods

    async def label(self, name: str, role: str, limit: float) -> None:
        body = {"metadata": {"labels": {self._role_label: role}}}
        async with asking(f"label pod {name}", limit):
            await self._client.patch(ApiPod, name, body, patch_type=PatchType.MERGE)

    async def annotate(self, name: str, annotation: str, text: str, limit: float) -> None:
        body = {"metadata": {"annotations": {annotation: text}}}
        async with asking(f"annotate pod {name}", limit):
            await self._client.patch(ApiPod, name, body, patch_type=PatchType.MERGE)

    async def poolers(self, limit: float) -> Mapping[str, str]:
        async with asking("list the poolers' pods", limit):
            pods = [pod async for pod in self._client.list(ApiPod, labels=dict(self._poolers))]
        return {
            pod.metadata.name: pod.status.podIP
            for pod in pods
            if pod.metadata and pod.metadata.name and pod.status and pod.status.podIP and pod.status.phase == "Running"
        }
