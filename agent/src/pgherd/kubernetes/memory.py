"""An API server in memory: the same compare-and-swap and watches, for tests of what is built on the seam."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Generic, TypeVar

import msgspec

from pgherd.kubernetes.store import (
    ConfigSeen,
    Conflict,
    LockSeen,
    PodSeen,
    RequestsSeen,
    RouteSeen,
    StoreError,
    Stores,
    UsersSeen,
    spent,
)
from pgherd.model.access import SecretSeen
from pgherd.model.lease import Lease, from_annotations, to_annotations
from pgherd.model.request import Request
from pgherd.model.route import Route

T = TypeVar("T")


class _Cell(Generic[T]):
    """A value with a version and people waiting for it to change."""

    def __init__(self, value: T) -> None:
        self.value = value
        self._changed: list[asyncio.Event] = []

    def put(self, value: T) -> None:
        self.value = value
        for event in self._changed:
            event.set()

    async def follow(self) -> AsyncIterator[T]:
        event = asyncio.Event()
        self._changed.append(event)
        try:
            while True:
                event.clear()
                yield self.value
                await event.wait()
        finally:
            self._changed.remove(event)


class Memory:
    """State of one cluster. `before_write` fails a write: by raising before it is done, by returning an error after."""

    def __init__(self, lock: Lease, config: str | None = None) -> None:
        self._version = 1
        self.lock = _Cell(LockSeen(lock, "1"))
        self.config = _Cell(ConfigSeen(version="1", config=config))
        self.route = _Cell(RouteSeen(version="1"))
        self.pods = _Cell[tuple[PodSeen, ...]](())
        self.requests = _Cell(RequestsSeen(version="1"))
        self.labels: dict[str, str] = {}
        self.users = _Cell(UsersSeen(version="1"))
        self.secrets: dict[str, _Cell[SecretSeen | None]] = {}
        self.annotations: dict[tuple[str, str], str] = {}
        self.summaries: list[str] = []
        self.poolers: dict[str, str] = {}
        self.writes: list[Lease] = []
        self.before_write: Callable[[Lease], StoreError | None] = lambda record: None

    def next_version(self) -> str:
        self._version += 1
        return str(self._version)

    def secret(self, name: str) -> _Cell[SecretSeen | None]:
        return self.secrets.setdefault(name, _Cell[SecretSeen | None](None))

    def put_secret(self, name: str, **data: str) -> None:
        """As a person or the play writes it."""
        found = {key: value.encode() for key, value in data.items()}
        self.secret(name).put(SecretSeen(self.next_version(), found))

    def declare_users(self, text: str) -> None:
        self.users.put(msgspec.structs.replace(self.users.value, version=self.next_version(), text=text))

    def stores(self) -> Stores:
        """One member's access to it."""
        return Stores(
            lock=MemoryLock(self), route=MemoryRoute(self), config=MemoryConfig(self), pods=MemoryPods(self),
            secrets=MemorySecrets(self), requests=MemoryRequests(self), users=MemoryUsers(self),
            summary=MemorySummary(self),
        )  # fmt: skip


class MemoryLock:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def read(self, limit: float) -> LockSeen:
        await asyncio.sleep(0)
        return self._memory.lock.value

    async def write(self, record: Lease, version: str, limit: float) -> LockSeen:
        await asyncio.sleep(0)
        memory = self._memory
        lost = memory.before_write(record)
        if memory.lock.value.version != version:
            raise Conflict("write endpoints: the object has been modified")
        # Through the annotations and back, as a real object keeps them.
        text = {key: value for key, value in to_annotations(record).items() if value is not None}
        memory.writes.append(record)
        memory.lock.put(LockSeen(from_annotations(text, record.address), memory.next_version()))
        if lost is not None:
            raise lost
        return memory.lock.value

    def follow(self) -> AsyncIterator[LockSeen]:
        return self._memory.lock.follow()


class MemoryRoute:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def read(self, limit: float) -> RouteSeen:
        await asyncio.sleep(0)
        return self._memory.route.value

    async def write(self, route: Route | None, version: str, limit: float) -> RouteSeen:
        await asyncio.sleep(0)
        cell = self._memory.route
        if cell.value.version != version:
            raise Conflict("patch endpointslice: the object has been modified")
        cell.put(RouteSeen(self._memory.next_version(), (route.address,) if route else ()))
        return cell.value

    def follow(self) -> AsyncIterator[RouteSeen]:
        return self._memory.route.follow()


class MemoryConfig:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def read(self, limit: float) -> ConfigSeen:
        await asyncio.sleep(0)
        return self._memory.config.value

    async def write(self, annotations: Mapping[str, str | None], version: str, limit: float) -> ConfigSeen:
        await asyncio.sleep(0)
        cell = self._memory.config
        if cell.value.version != version:
            raise Conflict("patch endpoints: the object has been modified")
        cell.put(msgspec.structs.replace(cell.value, version=self._memory.next_version(), **annotations))
        return cell.value

    def follow(self) -> AsyncIterator[ConfigSeen]:
        return self._memory.config.follow()


class MemoryPods:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def follow(self) -> AsyncIterator[tuple[PodSeen, ...]]:
        return self._memory.pods.follow()

    async def label(self, name: str, role: str, limit: float) -> None:
        await asyncio.sleep(0)
        self._memory.labels[name] = role

    async def annotate(self, name: str, annotation: str, text: str, limit: float) -> None:
        await asyncio.sleep(0)
        self._memory.annotations[name, annotation] = text

    async def poolers(self, limit: float) -> Mapping[str, str]:
        return self._memory.poolers


class MemorySecrets:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def follow(self, name: str) -> AsyncIterator[SecretSeen | None]:
        return self._memory.secret(name).follow()


class MemoryUsers:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def follow(self) -> AsyncIterator[UsersSeen]:
        return self._memory.users.follow()

    async def report(self, report: str, version: str, limit: float) -> UsersSeen:
        await asyncio.sleep(0)
        cell = self._memory.users
        if cell.value.version != version:
            raise Conflict("patch configmap: the object has been modified")
        cell.put(msgspec.structs.replace(cell.value, version=self._memory.next_version(), report=report))
        return cell.value


def changed(seen: RequestsSeen, changes: Mapping[str, Request | None], version: str) -> RequestsSeen:
    """The object after a write of these requests."""
    kept = [each for each in seen.requests if each.id not in changes]
    kept += [each for each in changes.values() if each is not None]
    keyed = "" if spent(seen, changes) else seen.keyed
    return RequestsSeen(version, tuple(sorted(kept, key=lambda each: (each.at, each.id))), keyed=keyed)


class MemoryRequests:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def read(self, limit: float) -> RequestsSeen:
        await asyncio.sleep(0)
        return self._memory.requests.value

    async def write(self, changes: Mapping[str, Request | None], seen: RequestsSeen, limit: float) -> RequestsSeen:
        await asyncio.sleep(0)
        cell = self._memory.requests
        if cell.value.version != seen.version:
            raise Conflict("patch configmap: the object has been modified")
        cell.put(changed(cell.value, changes, self._memory.next_version()))
        return cell.value

    def follow(self) -> AsyncIterator[RequestsSeen]:
        return self._memory.requests.follow()


class MemorySummary:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def read(self, limit: float) -> str | None:
        await asyncio.sleep(0)
        return self._memory.summaries[-1] if self._memory.summaries else None

    async def write(self, text: str, limit: float) -> None:
        await asyncio.sleep(0)
        self._memory.summaries.append(text)
