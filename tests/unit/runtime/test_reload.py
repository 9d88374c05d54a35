"""When a changed configuration is brought into the server, and what becomes of one that it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.unit.runtime.stand_ins import Bench, FakePostgres

from pgherd.model.position import Position
from pgherd.model.server import Data, Process, Server
from pgherd.model.settings import Configuration, InvalidSetting, PostgresConfiguration
from pgherd.model.slots import Permanent
from pgherd.runtime.upkeep import REFUSED_AGAIN, Reload

RUNNING = Server(Data.PRESENT, Process.RUNNING, position=Position(1, 100))
OTHER = Configuration(postgresql=PostgresConfiguration({"work_mem": "lots"}))


class Parts:
    def __init__(self, folder: Path) -> None:
        self.bench, self.postgres = Bench(folder), FakePostgres()
        self.bench.state.server = RUNNING
        self.reload = Reload(self.bench.state, self.postgres, self.bench.clock, self.bench.log, lambda: None)

    async def decided(self) -> int:
        """How many reloads there were after another decision."""
        self.reload.check()
        for _ in range(10):
            await asyncio.sleep(0)
        return len(self.postgres.calls)


def play(folder: Path, script: Callable[[Parts], Awaitable[None]]) -> Parts:
    parts = Parts(folder)

    async def run() -> None:
        loop = asyncio.create_task(parts.reload.run())
        try:
            await script(parts)
        finally:
            loop.cancel()

    asyncio.run(run())
    return parts


@pytest.mark.parametrize(
    ("configuration", "reloads"),
    [
        (Configuration(), 1),
        (Configuration(ttl=20), 1),  # nothing of PostgreSQL's
        (OTHER, 2),
        (Configuration(slots={"cdc": Permanent("logical", "app", "pgoutput")}), 2),  # it brings parameters along
    ],
)
def test_what_changes_the_servers_files_is_loaded(tmp_path: Path, configuration: Configuration, reloads: int) -> None:
    async def script(parts: Parts) -> None:
        assert await parts.decided() == 1
        parts.bench.state.configuration = configuration
        assert await parts.decided() == reloads
        assert await parts.decided() == reloads

    play(tmp_path, script)


def test_every_start_is_followed_by_one(tmp_path: Path) -> None:
    async def script(parts: Parts) -> None:
        assert await parts.decided() == 1
        parts.bench.state.server = Server(Data.PRESENT, Process.STARTING)
        assert await parts.decided() == 1
        parts.bench.state.server = RUNNING
        assert await parts.decided() == 2

    play(tmp_path, script)


def test_what_was_refused_is_tried_again_rarely_and_forgotten_when_it_is_taken_back(tmp_path: Path) -> None:
    async def script(parts: Parts) -> None:
        assert await parts.decided() == 1
        parts.postgres.fails, parts.bench.state.configuration = InvalidSetting("work_mem"), OTHER
        assert await parts.decided() == 2
        assert await parts.decided() == 2
        parts.bench.clock.now += REFUSED_AGAIN
        assert await parts.decided() == 3
        parts.postgres.fails, parts.bench.state.configuration = None, Configuration()
        assert await parts.decided() == 4, "the server still shows the refusal"
        assert await parts.decided() == 4

    assert "stays in force: work_mem" in play(tmp_path, script).bench.output.getvalue()
