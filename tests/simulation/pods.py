"""Pod objects as kubelets and controllers write them, lies included, and each agent's way to them.

What an agent makes of an object is the shipped `kubernetes.pods.Census`: a status that merely looks like a death must
be told from one by the code that runs in production.
"""

from __future__ import annotations

import datetime
import enum
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from lightkube.models.core_v1 import (
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    PodSpec,
    PodStatus,
)
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Pod as ApiPod

from pgherd.kubernetes.follow import follow
from pgherd.kubernetes.pods import CONTAINER, Census
from pgherd.kubernetes.store import PodSeen
from tests.simulation.api import Client

ROLE = "pgherd.dev/role"


class Lie(enum.Enum):
    """What somebody writes of a container that lives (ha-protocol §2: none of these is proof of a death)."""

    FAILED = "phase Failed, by a controller that has not heard of the kubelet for a while"
    UNKNOWN = "terminated with reason ContainerStatusUnknown, by a kubelet that lost the container's record"
    RESTARTED = "not ready, waiting, and one restart more"


@dataclass(frozen=True)
class Pods:
    """All objects at one version of the list."""

    version: int = 0
    items: tuple[ApiPod, ...] = ()


def at(seconds: float) -> datetime.datetime:
    """Kubernetes' times are whole seconds."""
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)


@dataclass
class Shown:
    """What the kubelet knows of the pod's containers: the present one, and how the one before ended."""

    container: str = ""
    started: float = 0.0
    """Wall-clock seconds of the node."""
    ended: ContainerStateTerminated | None = None
    restarts: int = 0
    role: str = ""
    status: str = ""
    lie: Lie | None = None

    def death(self, container: str, started: float, finished: float) -> None:
        self.container, self.restarts = "", self.restarts + 1
        self.ended = ContainerStateTerminated(137, container, at(finished), reason="Error", startedAt=at(started))

    def _state(self) -> ContainerState:
        if not self.container:
            return ContainerState(terminated=self.ended)
        if self.lie is Lie.RESTARTED:
            return ContainerState(waiting=ContainerStateWaiting(reason="CrashLoopBackOff"))
        if self.lie is Lie.UNKNOWN:
            began = at(self.started)
            lost = ContainerStateTerminated(137, self.container, began, reason="ContainerStatusUnknown")
            lost.startedAt = began
            return ContainerState(terminated=lost)
        return ContainerState(running=ContainerStateRunning(at(self.started)))

    def pod(self, member: str, uid: str, address: str, terminating: bool) -> ApiPod:
        status = ContainerStatus(
            "pgherd", "pgherd", CONTAINER, ready=bool(self.container) and self.lie is None,
            restartCount=self.restarts + (self.lie is Lie.RESTARTED),
            containerID=self.container or (self.ended.containerID if self.ended else None), state=self._state(),
            lastState=ContainerState(terminated=self.ended) if self.container and self.ended else None,
        )  # fmt: skip
        deleted = at(0) if terminating else None
        return ApiPod(
            metadata=ObjectMeta(
                name=member,
                uid=uid,
                labels={ROLE: self.role},
                annotations={"pgherd.dev/status": self.status},
                deletionTimestamp=deleted,
            ),
            spec=PodSpec([], nodeName=f"node-{member}"),
            status=PodStatus(
                phase="Failed" if self.lie is Lie.FAILED else "Running", podIP=address, containerStatuses=[status]
            ),
        )


class SimPods:
    """One agent's list and watch."""

    def __init__(self, client: Client) -> None:
        self._client, self._census = client, Census(ROLE)
        self._known: tuple[ApiPod, ...] = ()

    async def begin(self) -> tuple[tuple[PodSeen, ...], str]:
        value: Pods = await self._client.request("list pods", lambda: self._client.store.pods.value, 5.0)
        self._known = value.items
        self._census.reset(list(value.items))
        return self._census.all(), str(value.version)

    async def changes(self, version: str) -> AsyncGenerator[tuple[PodSeen, ...], None]:
        async for value in self._client.watch(self._client.store.pods, lambda value: str(value.version) != version):
            uids = {_uid(item) for item in value.items}
            for item in self._known:
                if _uid(item) not in uids:
                    self._census.remove(item)
            for item in value.items:
                self._census.put(item)
            self._known = value.items
            yield self._census.all()

    def follow(self) -> AsyncIterator[tuple[PodSeen, ...]]:
        return follow(self, lambda: 60.0, lambda text: None)

    async def label(self, name: str, role: str, limit: float) -> None:
        await self._client.request("label", lambda: self._client.store.labelled(name, role), limit)

    async def annotate(self, name: str, annotation: str, text: str, limit: float) -> None:
        await self._client.request("annotate", lambda: self._client.store.annotated(name, text), limit)

    async def poolers(self, limit: float) -> dict[str, str]:
        return {}


def _uid(item: ApiPod) -> str:
    return (item.metadata.uid or "") if item.metadata else ""


__all__ = ["ApiPod", "Lie", "Pods", "Shown", "SimPods"]
