"""Stand-ins for the fence and for PostgreSQL, and a clock that the test moves."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any

from pgherd.kubernetes.memory import Memory
from pgherd.model.knowledge import Attempt
from pgherd.model.lease import Holder, Lease
from pgherd.model.position import Position
from pgherd.model.server import Data, Health, Process, Server
from pgherd.model.settings import Configuration, Identity, PostgresSettings, Settings
from pgherd.model.slots import SlotOrders, SlotsSeen, SlotState
from pgherd.model.synchronous import Rule
from pgherd.postgres.source import Source
from pgherd.runtime.container import Container
from pgherd.runtime.lock import Lock
from pgherd.runtime.log import Log
from pgherd.runtime.state import State


async def reached(check: Callable[[], bool]) -> None:
    """Until the tasks of this loop have brought it about."""
    async with asyncio.timeout(5):
        while not check():  # noqa: ASYNC110
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def running(*loops: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """What lives with the agent, for as long as a test."""
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def nothing() -> None:
    pass


MEMBERS = ("demo-0", "demo-1", "demo-2")
FREE = Lease(leader=None, epoch=0, released=0, ttl=10)


class Clock:
    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class FakeFence:
    """Remembers what the real one's mapping would hold, and every deadline in order."""

    def __init__(self) -> None:
        self.armed = 0.0
        self.disarmed = False
        self.deadlines: list[float] = []
        self.table: dict[str, Attempt] = {}
        self.beats = 0
        self.exits: list[Callable[[int, int], None]] = []

    def beat(self) -> None:
        self.beats += 1

    def arm(self, deadline: float, lease_end: float) -> None:
        assert deadline < lease_end
        self.armed, self.disarmed = deadline, False
        self.deadlines.append(deadline)

    def withdraw(self) -> None:
        self.armed, self.disarmed = 0.0, False
        self.deadlines.append(0.0)

    def pause(self) -> None:
        self.disarmed = True

    def paused(self) -> bool:
        return self.disarmed

    def deadline(self) -> float:
        return self.armed

    def lease_end(self) -> float:
        return self.armed + 1.0

    def record_attempt(self, attempt: Attempt) -> None:
        self.table[attempt.nonce] = attempt

    def forget_attempts(self, nonces: Iterable[str]) -> None:
        for nonce in nonces:
            self.table.pop(nonce, None)

    def attempts(self) -> tuple[Attempt, ...]:
        return tuple(self.table.values())

    def on_exit(self, callback: Callable[[int, int], None]) -> None:
        self.exits.append(callback)


class FakePostgres:
    """A server whose long actions last until the test lets them end."""

    def __init__(self) -> None:
        self.server = Server(data=Data.EMPTY, process=Process.STOPPED)
        self.calls: list[str] = []
        self.parameters: Mapping[str, Any] = {}
        self.gate: asyncio.Event | None = None
        self.fails: Exception | None = None

    async def _do(self, call: str) -> None:
        self.calls.append(call)
        if self.gate is not None and call != "kill":
            await self.gate.wait()
        if self.fails is not None:
            raise self.fails

    async def observe(self) -> Server:
        return self.server

    async def probe(self, limit: float, /) -> Health:
        return Health(0.0, True)

    async def initialise(self) -> str:
        await self._do("initialise")
        return "42"

    async def clone(self, source: Source, replace: bool, configuration: Configuration) -> None:
        await self._do(f"clone {source.member} {source.address} {source.slot}")

    async def rewind(self, source: Source) -> None:
        await self._do(f"rewind {source.member}")

    async def start(self, writable: bool, source: Source | None, configuration: Configuration) -> None:
        self.parameters = configuration.postgresql.parameters
        await self._do(f"start {'writable' if writable else source.member if source else None}")

    async def follow(self, source: Source | None, configuration: Configuration) -> None:
        await self._do(f"follow {source.address if source else None}")

    async def reload(self, configuration: Configuration) -> bool:
        await self._do("reload")
        return False

    async def require(self, rule: Rule, configuration: Configuration, /) -> int:
        await self._do(f"require {','.join(each.member for each in rule.standbys)}")
        return 9

    async def cut_off(self, configuration: Configuration, /) -> None:
        await self._do("cut off")

    async def promote(self, timeline: int) -> Position:
        await self._do(f"promote {timeline}")
        return Position(timeline, 100)

    async def settle(self, limit: float, /) -> None:
        await self._do("settle")

    async def stop(self, limit: float, /) -> None:
        await self._do("stop")

    async def kill(self) -> None:
        await self._do("kill")

    async def keep_slots(self, orders: SlotOrders, source: Source | None) -> SlotsSeen:
        await self._do(f"slots {[slot.name for slot in orders.slots]}")
        states = {slot.name: SlotState(slot.kind, "kept", 7) for slot in orders.slots}
        return SlotsSeen(orders.primary, states, tuple(states))

    async def connection(self) -> None:
        return None


class Bench:
    """One member's parts around an API in memory."""

    def __init__(self, folder: Path, lease: Lease = FREE, member: str = "demo-0") -> None:
        self.clock, self.fence, self.memory = Clock(), FakeFence(), Memory(lease)
        self.output = io.StringIO()
        self.log = Log(member, self.output)
        postgres = PostgresSettings(
            version=15, bin_directory="/bin", data_directory=str(folder / "pg"), state_directory=str(folder)
        )
        self.settings = Settings(cluster="demo", postgres=postgres, members=MEMBERS)
        self.identity = Identity(member, "ns", f"uid-{member}", "10.0.0.1")
        self.container = Container(folder, "boot/1", 1000.0)
        self.state = State(self.settings, self.identity, self.container, self.log)
        self.stores = self.memory.stores()
        self.lock = Lock(self.state, self.stores.lock, self.fence, self.clock, self.log)

    def mine(self, lease: Lease, **changes: object) -> Lease:
        """The record as this member would write it next."""
        import msgspec

        holder = Holder(self.identity.uid, "", "", 1, 1)
        return msgspec.structs.replace(lease, **{"leader": self.identity.member, "holder": holder, **changes})
