"""The API store: three objects with versions, and each process' way to them.

A request may be lost, its reply may be lost, either may be slow; a write whose reply was lost has happened all the
same. Watches deliver in order, late, and fall silent for good when the link breaks: `kubernetes.follow`, which is the
shipped one, has to notice.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from pgherd.kubernetes.follow import follow
from pgherd.kubernetes.memory import changed
from pgherd.kubernetes.store import (
    ConfigSeen,
    Conflict,
    LockSeen,
    Refused,
    RequestsSeen,
    RouteSeen,
    Unanswered,
    UsersSeen,
)
from pgherd.model.access import SecretSeen
from pgherd.model.lease import Lease, MalformedLease, from_annotations, to_annotations
from pgherd.model.request import Request
from pgherd.model.route import Route
from tests.simulation.loop import VirtualLoop
from tests.simulation.world import API, World

T = TypeVar("T")

LONGEST_WAY = 4.0
"""Seconds that a request or a reply is under way at most."""


@dataclass
class Weather:
    """How the API behaves at the moment."""

    down: bool = False
    """Nobody answers."""
    lost_request: float = 0.0
    lost_reply: float = 0.0
    slow: float = 0.0
    """Probability of seconds instead of milliseconds."""
    stale_watch: float = 0.0
    """Seconds by which watches lag behind."""


class Cell(Generic[T]):
    """One object: its value, and who watches it."""

    def __init__(self, value: T) -> None:
        self.value = value
        self.watchers: list[Callable[[T], None]] = []

    def put(self, value: T) -> None:
        self.value = value
        for watcher in tuple(self.watchers):
            watcher(value)


@dataclass
class Store:
    """The truth. `taken` is called for every write of the lock that changed it, with the record before and after."""

    world: World
    ttl: float
    config: str
    weather: Weather = field(default_factory=Weather)
    version: int = 1
    written: list[Callable[[str, Lease | None, Lease], None]] = field(default_factory=list)
    copies: list[Lease] = field(default_factory=list)
    """Every record that was ever written: what a backup of the API server may bring back."""

    def __post_init__(self) -> None:
        free = Lease(leader=None, epoch=0, ttl=self.ttl, released=0)
        self.lock = Cell(LockSeen(free, "1"))
        self.configuration = Cell(ConfigSeen(version="1", config=self.config))
        self.pods: Cell[Any] = Cell(None)  # tests.simulation.pods.Pods
        self.sending: Callable[[str], None] = lambda member: None
        """Called when a member sends a write of the lock: what it decided on is what it has now."""
        self.labelled: Callable[[str, str], None] = lambda member, role: None
        self.annotated: Callable[[str, str], None] = lambda member, status: None
        self.requests = Cell(RequestsSeen(version="1"))

    def next_version(self) -> str:
        self.version += 1
        return str(self.version)

    def write_lock(self, who: str, record: Lease, version: str) -> LockSeen:
        before = self.lock.value
        if before.version != version:
            raise Conflict("the object has been modified, or is there already")
        new = through_annotations(record, self.next_version())
        assert new.record is not None
        for hook in self.written:
            hook(who, before.record, new.record)
        self.copies.append(new.record)
        self.world.say(who, f"lock <- {describe(new.record)}")
        self.lock.put(new)
        return new

    def write_config(self, annotations: Mapping[str, str | None], version: str) -> ConfigSeen:
        before = self.configuration.value
        if not before.version or before.version != version:
            raise Conflict("patch endpoints: the object has been modified")
        changed: dict[str, Any] = {**annotations, "version": self.next_version()}
        self.configuration.put(msgspec.structs.replace(before, **changed))
        return self.configuration.value

    def write_requests(self, changes: Mapping[str, Request | None], seen: RequestsSeen) -> RequestsSeen:
        before = self.requests.value
        if before.version != seen.version:
            raise Conflict("patch configmap: the object has been modified")
        self.requests.put(changed(before, changes, self.next_version()))
        return self.requests.value


def describe(record: Lease) -> str:
    return (
        f"epoch {record.epoch} {record.leader} tl {record.holder.timeline if record.holder else 0}"
        f" writable {record.holder.writable if record.holder else 0} address {record.address}"
        f"{' PAUSED' if record.pause else ''}{' RELEASED' if record.free else ''}"
        f"{f' HANDOVER {record.handover.to}' if record.handover else ''}"
        f" candidates {[candidate.member for candidate in record.candidates]}"
        f"{f' sync {[each.member for each in record.sync.members]}' if record.sync else ''}"
    )


def through_annotations(record: Lease, version: str) -> LockSeen:
    """As a real object keeps it: text, and read back."""
    text = {key: value for key, value in to_annotations(record).items() if value is not None}
    try:
        return LockSeen(from_annotations(text, record.address), version)
    except MalformedLease as error:
        return LockSeen(None, version, str(error))


class Client:
    """One process' connections to the API."""

    def __init__(self, store: Store, member: str, loop: VirtualLoop) -> None:
        self.store, self.member, self.loop = store, member, loop
        self.dead = False
        self.takes: list[tuple[str, float]] = []
        """Takes that were sent: the version that each was decided on, and until when it may arrive."""

    def taking(self) -> bool:
        """Whether a take of this process may still happen, whatever became of its reply."""
        version, now = self.store.lock.value.version, self.store.world.now
        return any(decided_on == version and now <= until for decided_on, until in self.takes)

    def _delay(self) -> float:
        world, weather = self.store.world, self.store.weather
        return world.between(0.5, LONGEST_WAY) if world.chance(weather.slow) else world.between(0.001, 0.02)

    def _arrives(self) -> bool:
        return not self.store.weather.down and self.store.world.passes(self.member, API)

    def _returns(self) -> bool:
        return not self.store.weather.down and self.store.world.passes(API, self.member)

    async def request(self, what: str, serve: Callable[[], T], limit: float) -> T:
        world, weather = self.store.world, self.store.weather
        if self.dead:
            raise asyncio.CancelledError
        if weather.down and world.chance(0.5):
            await asyncio.sleep(0.001)
            raise Refused(0, f"{what}: connection refused")
        answer: asyncio.Future[T] = self.loop.create_future()

        def reply(give: Callable[[], None]) -> None:
            if not world.chance(weather.lost_reply):
                world.after(self._delay(), lambda: self._returns() and not answer.done() and give())

        def arrive() -> None:
            if not self._arrives():
                return
            try:
                result = serve()
            except (Conflict, Refused) as error:
                problem = error
                reply(lambda: answer.set_exception(problem))
            else:
                reply(lambda: answer.set_result(result))

        if not world.chance(weather.lost_request):
            world.after(self._delay(), arrive)
        try:
            async with asyncio.timeout(limit):
                return await answer
        except TimeoutError:
            raise Unanswered(f"{what}: no answer within {limit:g} s") from None

    async def watch(self, cell: Cell[T], newer: Callable[[T], bool]) -> AsyncGenerator[T, None]:
        """Every value from now on, in order and late; silent for good once the link was broken."""
        world, arrived, wake = self.store.world, deque[T](), asyncio.Event()
        broken, last = False, world.now

        def deliver(value: T) -> None:
            nonlocal broken
            broken = broken or not self._returns()
            if not broken and not self.dead:
                arrived.append(value)
                wake.set()

        def watcher(value: T) -> None:
            nonlocal last
            last = max(last, world.now + self._delay() + self.store.weather.stale_watch)
            world.at(last, lambda: deliver(value))

        cell.watchers.append(watcher)
        try:
            if newer(cell.value):
                watcher(cell.value)
            while True:
                await wake.wait()
                wake.clear()
                while arrived:
                    yield arrived.popleft()
        finally:
            cell.watchers.remove(watcher)


class Source(Generic[T]):
    """What `kubernetes.follow` follows."""

    def __init__(self, client: Client, cell: Cell[T], version: Callable[[T], str], what: str) -> None:
        self._client, self._cell, self._version, self._what = client, cell, version, what

    async def begin(self) -> tuple[T, str]:
        value = await self._client.request(f"list {self._what}", lambda: self._cell.value, 5.0)
        return value, self._version(value)

    async def changes(self, version: str) -> AsyncGenerator[T, None]:
        async for value in self._client.watch(self._cell, lambda value: self._version(value) != version):
            yield value


class SimLock:
    def __init__(self, client: Client, silence: Callable[[], float]) -> None:
        self._client, self._silence = client, silence
        self._source = Source(client, client.store.lock, lambda seen: seen.version, "endpoints demo-ha")

    async def read(self, limit: float) -> LockSeen:
        return await self._client.request("get endpoints", lambda: self._client.store.lock.value, limit)

    async def write(self, record: Lease, version: str, limit: float) -> LockSeen:
        client, now = self._client, self._client.store.lock.value.record
        if now is not None and now.epoch < record.epoch:
            client.takes.append((version, client.store.world.now + LONGEST_WAY))
        client.store.sending(client.member)
        return await client.request(
            "patch endpoints", lambda: client.store.write_lock(client.member, record, version), limit
        )

    def follow(self) -> AsyncIterator[LockSeen]:
        return follow(self._source, self._silence, lambda text: None)


class SimConfig:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._source = Source(client, client.store.configuration, lambda seen: seen.version, "endpoints demo-ha-config")

    async def read(self, limit: float) -> ConfigSeen:
        return await self._client.request("get config", lambda: self._client.store.configuration.value, limit)

    async def write(self, annotations: Mapping[str, str | None], version: str, limit: float) -> ConfigSeen:
        store = self._client.store
        return await self._client.request("patch config", lambda: store.write_config(annotations, version), limit)

    def follow(self) -> AsyncIterator[ConfigSeen]:
        return follow(self._source, lambda: 60.0, lambda text: None)


class SimRequests:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._source = Source(client, client.store.requests, lambda seen: seen.version, "configmap demo-ha-failover")

    async def read(self, limit: float) -> RequestsSeen:
        return await self._client.request("get configmap", lambda: self._client.store.requests.value, limit)

    async def write(self, changes: Mapping[str, Request | None], seen: RequestsSeen, limit: float) -> RequestsSeen:
        store = self._client.store
        return await self._client.request("patch configmap", lambda: store.write_requests(changes, seen), limit)

    def follow(self) -> AsyncIterator[RequestsSeen]:
        return follow(self._source, lambda: 60.0, lambda text: None)


class SimSummary:
    """A write like another to the API; nobody reads what it says."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def read(self, limit: float) -> str | None:
        return await self._client.request("get configmap", lambda: None, limit)

    async def write(self, text: str, limit: float) -> None:
        await self._client.request("patch configmap", lambda: None, limit)


class SimRoute:
    """No safety rule rests on where clients are sent: they may go anywhere."""

    async def read(self, limit: float) -> RouteSeen:
        raise AssertionError("nothing was seen of it")

    async def write(self, route: Route | None, version: str, limit: float) -> RouteSeen:
        raise AssertionError("nothing was seen of it")

    async def follow(self) -> AsyncIterator[RouteSeen]:
        await asyncio.get_running_loop().create_future()
        yield RouteSeen()


class SimSecrets:
    """No user is declared: what the primary's agent does with Secrets touches no rule of the protocol."""

    async def follow(self, name: str) -> AsyncIterator[SecretSeen | None]:
        while True:
            yield None
            await asyncio.get_running_loop().create_future()


class SimUsers:
    async def follow(self) -> AsyncIterator[UsersSeen]:
        while True:
            yield UsersSeen()
            await asyncio.get_running_loop().create_future()

    async def report(self, report: str, version: str, limit: float) -> UsersSeen:
        raise AssertionError("nothing is declared, and nothing to report")
