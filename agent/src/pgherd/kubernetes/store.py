"""The seam to the Kubernetes API: what is asked of it, and the three ways in which it can fail to do it.

A write is a compare-and-swap on `resourceVersion`
(https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions). Its outcomes:

- it returns: the object carries what was written;
- `Conflict` or `Refused`: it certainly did not happen;
- `Unanswered`: it may have happened, now or a little later (ha-protocol §2, "Writes").

Everything that implements these protocols bounds each request by the time limit it was given, so no
caller waits for ever (S4 rests on the holder's renewals being bounded).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

import msgspec

from pgherd.model.access import SecretSeen
from pgherd.model.lease import Lease
from pgherd.model.member import Pod
from pgherd.model.request import Request
from pgherd.model.route import Route


class StoreError(Exception):
    """A request to the Kubernetes API did not succeed; the text names object, verb and cause."""


class Conflict(StoreError):
    """The object has another resourceVersion than the one decided on: nothing was written. Read and decide again."""


class Refused(StoreError):
    """A definite no: nothing was written. `status` is the HTTP status, 0 when the request was never sent."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Unanswered(StoreError):
    """No answer, or one that says nothing (5xx, garbage): a write may have happened or may still happen."""


def older(version: str, than: str) -> bool:
    """Whether a resourceVersion is older: numbers, comparable by promise since Kubernetes 1.35 and in fact before."""
    return version.isdecimal() and than.isdecimal() and int(version) < int(than)


class LockSeen(msgspec.Struct, frozen=True):
    """The lock object at one version. Without `record`, `trouble` says why (missing, malformed)."""

    record: Lease | None
    version: str = ""
    trouble: str = ""


class ConfigSeen(msgspec.Struct, frozen=True):
    """The configuration object's annotations at one version; `version` is empty when it is missing."""

    version: str = ""
    initialize: str | None = None
    config: str | None = None
    history: str | None = None


class RouteSeen(msgspec.Struct, frozen=True):
    """Where clients are sent, at one version of the object; `version` is empty when it is missing."""

    version: str = ""
    addresses: tuple[str, ...] = ()


class RequestsSeen(msgspec.Struct, frozen=True):
    """What people asked for, at one version of the object; `version` is empty when it is missing."""

    version: str = ""
    requests: tuple[Request, ...] = ()
    wrong: tuple[str, ...] = ()
    """A sentence for each annotation that is no request."""
    keyed: str = ""
    """Id of the request that Patroni's annotations make; the write that finishes it removes them."""


def spent(seen: RequestsSeen, changes: Mapping[str, Request | None]) -> bool:
    """Whether this write finishes what Patroni's annotations ask for."""
    last = changes.get(seen.keyed)
    return last is not None and last.finished


class UsersSeen(msgspec.Struct, frozen=True):
    """What is declared of users and databases, at one version of the object; `version` is empty when it is missing."""

    version: str = ""
    text: str = ""
    report: str | None = None
    """Annotation `status`: what an agent said of it last."""


class PodSeen(msgspec.Struct, frozen=True):
    """A member's pod, and what only its own agent needs of it."""

    pod: Pod
    role: str = ""
    """Value of the label `<prefix>role`."""
    started: float | None = None
    """state.running.startedAt of container `database`, seconds of the wall clock (whole seconds)."""
    last_ended: str = ""
    """containerID in lastState.terminated of `database`."""
    status: str = ""
    """Annotation `status`: what its agent said last (runtime.published)."""


class LockStore(Protocol):
    """The lock object of the cluster."""

    async def read(self, limit: float) -> LockSeen:
        """The newest version (never from a cache). A missing object is an answer: `trouble` says so."""

    async def write(self, record: Lease, version: str, limit: float) -> LockSeen:
        """Compare-and-swap every annotation and the routing address. Raises Conflict, Refused, Unanswered.

        Version "" makes the object, and is a Conflict when there is one.
        """

    def follow(self) -> AsyncIterator[LockSeen]:
        """Every version from now on, for ever; survives anything the API does. Never an older one after a newer."""


class ConfigStore(Protocol):
    """The configuration object: annotations initialize, config, history."""

    async def read(self, limit: float) -> ConfigSeen: ...

    async def write(self, annotations: Mapping[str, str | None], version: str, limit: float) -> ConfigSeen:
        """Compare-and-swap these annotations (None removes one)."""

    def follow(self) -> AsyncIterator[ConfigSeen]: ...


class RouteStore(Protocol):
    """The object that leads clients to the primary."""

    async def read(self, limit: float) -> RouteSeen: ...

    async def write(self, route: Route | None, version: str, limit: float) -> RouteSeen:
        """Compare-and-swap where it leads, None: nowhere. Version "" makes the object. Raises as a LockStore's."""

    def follow(self) -> AsyncIterator[RouteSeen]: ...


class RequestStore(Protocol):
    """The object of the requests."""

    async def read(self, limit: float) -> RequestsSeen: ...

    async def write(self, changes: Mapping[str, Request | None], seen: RequestsSeen, limit: float) -> RequestsSeen:
        """Compare-and-swap these requests by id (None removes one) on what was seen."""

    def follow(self) -> AsyncIterator[RequestsSeen]: ...


class PodStore(Protocol):
    """The cluster's pods."""

    def follow(self) -> AsyncIterator[tuple[PodSeen, ...]]:
        """All pods of the cluster, again after each change."""

    async def label(self, name: str, role: str, limit: float) -> None:
        """Set the label `<prefix>role` of a pod."""

    async def annotate(self, name: str, annotation: str, text: str, limit: float) -> None:
        """Set an annotation of a pod."""

    async def poolers(self, limit: float) -> Mapping[str, str]:
        """Addresses of the read-write poolers' pods by name, now."""


class SecretStore(Protocol):
    """The declared users' Secrets, each by its name: there is no right to look for others."""

    def follow(self, name: str) -> AsyncIterator[SecretSeen | None]:
        """Every version from now on, for ever; None while there is none."""


class UsersStore(Protocol):
    """The object that declares users and databases."""

    def follow(self) -> AsyncIterator[UsersSeen]: ...

    async def report(self, report: str, version: str, limit: float) -> UsersSeen:
        """Compare-and-swap the agent's word on it."""


class SummaryStore(Protocol):
    """The text of the status object."""

    async def read(self, limit: float) -> str | None: ...

    async def write(self, text: str, limit: float) -> None: ...


class Stores(msgspec.Struct, frozen=True):
    """All of them, over one API."""

    lock: LockStore
    route: RouteStore
    config: ConfigStore
    pods: PodStore
    secrets: SecretStore
    requests: RequestStore
    users: UsersStore
    summary: SummaryStore
