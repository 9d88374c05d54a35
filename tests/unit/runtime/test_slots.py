"""When slots are looked after, and what is believed of a pass whose server has become something else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from tests.unit.runtime.stand_ins import Bench, FakePostgres, nothing

from pgherd.model.position import Position
from pgherd.model.server import Data, Process, Server
from pgherd.model.slots import SlotOrders, SlotsSeen, SlotState, Wanted
from pgherd.runtime.slots import Slots
from pgherd.runtime.tasks import Tasks

ORDERS = SlotOrders(True, 1, (Wanted("demo_1"),), members=("demo_0", "demo_1"))
PRIMARY = Server(Data.PRESENT, Process.RUNNING, primary=True, position=Position(1, 100))


class Parts:
    def __init__(self, folder: Path) -> None:
        self.bench, self.postgres = Bench(folder), FakePostgres()
        bench = self.bench
        tasks = Tasks(
            bench.state,
            self.postgres,
            nothing,
            nothing,
            nothing,
            bench.clock,
            bench.log,
            lambda _: None,
            lambda *_: None,
        )
        self.slots = Slots(bench.state, self.postgres, tasks, bench.clock, bench.log)
        bench.state.server = PRIMARY


def play(folder: Path, script: Callable[[Parts], Awaitable[None]]) -> Parts:
    parts = Parts(folder)

    async def run() -> None:
        loop = asyncio.create_task(parts.slots.run())
        try:
            await script(parts)
        finally:
            loop.cancel()

    asyncio.run(run())
    return parts


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_a_pass_when_other_slots_are_wanted_and_when_it_is_time(tmp_path: Path) -> None:
    async def script(parts: Parts) -> None:
        for _ in range(3):
            parts.slots.order(ORDERS)
            await settled()
        assert len(parts.postgres.calls) == 1
        parts.slots.order(msgspec.structs.replace(ORDERS, slots=(Wanted("demo_1"), Wanted("demo_2"))))
        await settled()
        assert len(parts.postgres.calls) == 2
        parts.bench.clock.now += 3
        parts.slots.order(msgspec.structs.replace(ORDERS, slots=(Wanted("demo_1"), Wanted("demo_2"))))
        await settled()

    parts = play(tmp_path, script)
    assert len(parts.postgres.calls) == 3
    assert parts.bench.state.slots.positions == {"demo_1": 7, "demo_2": 7}


def test_a_pass_of_another_role_says_nothing(tmp_path: Path) -> None:
    async def script(parts: Parts) -> None:
        parts.postgres.gate = asyncio.Event()
        parts.slots.order(ORDERS)
        await settled()
        parts.slots.order(msgspec.structs.replace(ORDERS, primary=False))
        parts.postgres.gate.set()
        await settled()

    assert play(tmp_path, script).bench.state.slots.primary is False


@pytest.mark.parametrize(
    ("server", "forgotten"),
    [
        (PRIMARY, False),
        (msgspec.structs.replace(PRIMARY, process=Process.STOPPED), True),  # a restart: what waited for it is done
        (msgspec.structs.replace(PRIMARY, primary=False), True),
    ],
)
def test_what_was_seen_is_forgotten_with_its_server(tmp_path: Path, server: Server, forgotten: bool) -> None:
    async def script(parts: Parts) -> None:
        parts.bench.state.slots = SlotsSeen(True, {"demo_1": SlotState("physical", "kept", 7)}, waiting=("cdc",))
        parts.bench.state.server = server
        parts.slots.order(None)

    assert (play(tmp_path, script).bench.state.slots == SlotsSeen()) is forgotten


def test_a_failed_pass_is_said_and_made_again(tmp_path: Path) -> None:
    async def script(parts: Parts) -> None:
        parts.postgres.fails = OSError("no socket")
        parts.slots.order(ORDERS)
        await settled()
        parts.postgres.fails = None
        parts.bench.clock.now += 3
        parts.slots.order(ORDERS)
        await settled()

    parts = play(tmp_path, script)
    assert "no socket" in parts.bench.output.getvalue()
    assert parts.bench.state.slots.positions == {"demo_1": 7}
