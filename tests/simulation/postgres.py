"""One PostgreSQL server as the agent has it (runtime.ports.Postgres): what it does takes time and may fail.

What was started goes on without the agent that started it: a promotion that was sent happens even if that agent is
frozen or dead by then.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from pgherd.model.position import Position
from pgherd.model.server import Data as Holds
from pgherd.model.server import Health, Process, Server
from pgherd.model.settings import Configuration
from pgherd.model.slots import SlotOrders, SlotsSeen, SlotState
from pgherd.model.standby import RemoteLine
from pgherd.model.synchronous import ALONE, WAIT, Rule
from pgherd.postgres.errors import PostgresError, PromoteFailed, StartFailed, ToolFailed, WouldDestroy, WrongTimeline
from pgherd.postgres.source import Source
from tests.simulation.database import Branch, Data
from tests.simulation.fence import Fence, Instance

if TYPE_CHECKING:
    from tests.simulation.member import Process as Agent


class SimPostgres:
    def __init__(self, process: Agent) -> None:
        self._process = process
        self._container = process.container
        self._world = process.container.world
        self._cluster = process.container.member.cluster

    @property
    def _fence(self) -> Fence:
        return self._container.fence

    def _alive(self) -> None:
        if self._process.dead:
            raise asyncio.CancelledError

    async def _takes(self, low: float, high: float) -> None:
        await asyncio.sleep(self._world.between(low, high))
        self._alive()

    # Looking

    async def observe(self) -> Server:
        self._alive()
        data, instance = self._container.volume.data, self._fence.instance
        if data is None:
            return Server(data=Holds.EMPTY, process=Process.STOPPED if self._fence.dead else Process.CRASHED)
        if data.half_rewound:
            return Server(data=Holds.HALF_REWOUND, process=Process.STOPPED)
        common: dict[str, Any] = {
            "data": Holds.PRESENT, "system_identifier": data.system, "incarnation": data.incarnation,
            "position": data.position, "history": data.history, "replayed": data.lsn, "server_version": 170000,
            "free": 0 if self._world.now < self._container.member.full_until else 2**30,
        }  # fmt: skip
        if instance is None:
            stopped = Process.STOPPED if self._fence.dead else Process.CRASHED
            return Server(process=stopped, clean=data.clean, was_primary=data.was_primary, **common)
        if not instance.running:
            primary = instance.promoting
            return Server(process=Process.STARTING, primary=primary, promoting=primary, **common)
        return Server(
            process=Process.STOPPING if instance.stopping else Process.RUNNING,
            primary=not instance.recovery or instance.promoting,
            shut_down=instance.shut_down,
            promoting=instance.promoting and instance.recovery,
            following=instance.following,
            cramped=("max_connections 60 < 130",) if instance.cramped and instance.recovery else (),
            streaming=instance.streaming,
            receiver_timeline=data.branch.timeline if instance.streaming else None,
            senders=self._cluster.senders(self._container) if instance.accepts_writes else (),
            **common,
        )

    async def probe(self, limit: float, /) -> Health:
        began = self._container.clock()
        await self._takes(0.005, 0.05)
        instance = self._fence.instance
        if self._container.sick_since is not None:
            return Health(began, False, "the volume takes no writes")
        alive = instance is not None and instance.accepts_writes
        follows = instance is not None and instance.running and self._cluster.configured.standby
        return Health(began, alive or follows, "" if alive or follows else "PostgreSQL is no primary")

    # Data directories

    async def initialise(self) -> str:
        await self._takes(0.3, 3.0)
        if self._container.volume.data is not None:
            raise WouldDestroy("there is data (S7)")
        if self._fence.deadline <= self._container.clock():
            raise PostgresError("the lease was lost while initdb ran (S7)")
        system = self._cluster.initialised(self._container.member.name)
        branch = Branch(self._cluster.next_branch(), 1, 0)
        self._container.volume.data = Data(system, (branch,), 1000, self._incarnation(), True, clean=True)
        return system

    def _incarnation(self) -> str:
        return f"i{self._world.random.getrandbits(40):010x}"

    def _stopped(self) -> None:
        if self._fence.instance is not None or not self._fence.dead:
            raise PostgresError("PostgreSQL still lives")

    def _source(self, source: Source, primary: bool = True) -> Data:
        data = self._cluster.served(self._container.member.name, source.member, source.address, primary)
        if data is None:
            raise ToolFailed("connection", f"{source.member} does not answer", "")
        return data

    async def clone(self, source: Source, replace: bool, configuration: Configuration) -> None:
        self._stopped()
        volume = self._container.volume
        if volume.data is not None and not replace:
            raise WouldDestroy("there is data, and nobody said that it may go (S5)")
        self._source(source, primary=False)
        await self._takes(0.5, 4.0)
        copy = self._source(source, primary=False).copied(self._incarnation())
        if volume.data is not None and not copy.holds(volume.data):
            volume.kept_aside.append(volume.data)
        self._cluster.checks.replaced(self._container.member.name, volume.data, copy, volume.kept_aside)
        volume.data, volume.rule = copy, self._rule(source)

    def _rule(self, source: Source) -> Rule:
        """Whose configuration files came along."""
        return ALONE if source.remote else self._cluster.members[source.member].volume.rule

    async def line(self, source: Source) -> RemoteLine:
        await self._takes(0.01, 0.3)
        if not self._cluster.remote.up:
            await asyncio.sleep(2.0)
            raise ToolFailed("connection", "the remote primary does not answer", "")
        return self._cluster.remote.line()

    async def rewind(self, source: Source) -> None:
        self._stopped()
        volume = self._container.volume
        data = volume.data
        if data is None:
            raise PostgresError("no data")
        target = self._source(source)
        await self._takes(0.05, 0.5)
        if target.system != data.system:
            raise ToolFailed("pg_rewind", "source and target clusters are from different systems", "")
        if self._world.chance(0.15):
            raise ToolFailed("pg_rewind", "could not find previous WAL record", "")
        if not target.holds(data):
            volume.kept_aside.append(data)
        volume.data = self._half(data)
        await self._takes(0.1, 2.0)
        copy = self._source(source).copied(self._incarnation())
        self._cluster.checks.replaced(self._container.member.name, data, copy, volume.kept_aside)
        volume.data, volume.rule = copy, self._rule(source)

    @staticmethod
    def _half(data: Data) -> Data:
        return Data(data.system, data.line, data.lsn, data.incarnation, data.was_primary, half_rewound=True)

    # The process

    async def start(self, writable: bool, source: Source | None, configuration: Configuration) -> None:
        self._stopped()
        data = self._container.volume.data
        if data is None or data.half_rewound:
            raise StartFailed("no usable data")
        if writable and not data.was_primary:
            raise StartFailed("a standby's data starts as a standby (S2)")
        if self._world.chance(0.05):
            raise StartFailed("chance has it that it does not start")
        if configuration.synchronous and not writable:
            self._container.volume.rule = WAIT
        instance = self._fence.start(writable, source.member if source else None)
        instance.cramped = not writable and self._world.chance(0.04)
        instance.lacks_slot = not writable and self._world.chance(0.1)
        self._cluster.checks.started(self._container.member.name, data, writable, source.member if source else None)
        self._world.after(self._world.between(0.05, 1.5), lambda: self._container.came_up(instance))
        while not instance.running:
            await self._takes(0.05, 0.05)
            if self._fence.instance is not instance:
                raise StartFailed("it ended while it was starting")

    async def follow(self, source: Source | None, configuration: Configuration) -> None:
        await self._takes(0.01, 0.05)
        instance = self._fence.instance
        if instance is not None and instance.recovery:
            instance.following, instance.streaming = source.member if source else None, False

    async def reload(self, configuration: Configuration) -> bool:
        self._alive()
        return False

    async def require(self, rule: Rule, configuration: Configuration, /) -> int:
        """As the real one: written, told, and back only once no process goes by an older value."""
        instance, volume = self._fence.instance, self._container.volume
        if instance is None or not instance.running:
            raise PostgresError("PostgreSQL does not run")
        volume.rule = rule
        await self._takes(0.001, 0.05)
        self._container.reload(instance)
        while instance.rules != (volume.rule,):
            await self._takes(0.02, 0.1)
            if self._fence.instance is not instance:
                raise PostgresError("it ended meanwhile")
        return self._data().lsn if instance.accepts_writes else 0

    async def cut_off(self, configuration: Configuration, /) -> None:
        await self._takes(0.005, 0.1)
        instance = self._fence.instance
        if instance is None or not instance.recovery or not instance.running:
            raise PostgresError("no standby runs")
        instance.following, instance.streaming = None, False

    async def promote(self, timeline: int) -> Position:
        """Sent is sent: it happens later, whoever waits for it."""
        instance, data = self._fence.instance, self._container.volume.data
        if self._fence.deadline <= self._container.clock():
            raise PostgresError("promotion needs an armed deadline in the future (S4)")
        if instance is None or not instance.running or not instance.recovery or data is None:
            raise PostgresError("only a running standby can be promoted")
        if instance.cramped:
            raise PromoteFailed("promotion is not possible because of insufficient parameter settings")
        if timeline <= data.branch.timeline:
            raise PromoteFailed(f"timeline {timeline} is not above the server's own {data.branch.timeline}")
        instance.promoting = True
        takes = self._world.between(2.0, 30.0) if self._world.chance(0.05) else self._world.between(0.02, 1.0)
        self._world.after(takes, lambda: self._container.promoted(instance, timeline))
        for _ in range(100):
            await self._takes(0.02, 0.1)
            if self._fence.instance is not instance:
                raise PromoteFailed("it died")
            if not instance.recovery:
                found = self._data().branch.timeline
                if found != timeline:
                    raise WrongTimeline(timeline, found)
                return Position(timeline, self._data().branch.begin)
        raise PromoteFailed("not writable in time")

    def _data(self) -> Data:
        data = self._container.volume.data
        assert data is not None
        return data

    async def settle(self, limit: float, /) -> None:
        await self._takes(0.01, 1.0)

    async def stop(self, limit: float, /) -> None:
        instance = self._fence.instance
        if instance is not None:
            instance.stopping = True
            if instance.promoting and instance.recovery:
                await self.kill()
                return
            await self._takes(0.05, 0.6)
            if self._fence.instance is instance:
                if self._world.chance(0.15):
                    self._container.flush(instance)
                    await asyncio.sleep(limit)
                else:
                    self._container.shut_down(instance)
        await self.kill()

    async def kill(self) -> None:
        await self._takes(0.001, 0.05)
        self._fence.kill()

    async def keep_slots(self, orders: SlotOrders, source: Source | None) -> SlotsSeen:
        await self._takes(0.001, 0.02)
        data = self._container.volume.data
        states = {slot.name: SlotState(slot.kind, "kept", data.lsn if data else 0) for slot in orders.slots}
        instance = self._fence.instance
        waiting = instance is not None and instance.lacks_slot and not orders.primary
        return SlotsSeen(orders.primary, states, tuple(states), ("cdc",) if waiting else ())

    async def connection(self) -> Any:
        self._alive()
        return _Connection()


class _Connection:
    async def close(self) -> None:
        pass


__all__ = ["Instance", "SimPostgres"]
