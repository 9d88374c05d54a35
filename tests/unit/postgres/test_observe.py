"""What the observer makes of a server that does not answer, and of WAL that was on disk before a start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from pgherd.model.position import Position
from pgherd.model.server import Process, Server
from pgherd.model.settings import PostgresSettings, Settings
from pgherd.postgres import incarnation
from pgherd.postgres.control import ControlData
from pgherd.postgres.layout import Layout
from pgherd.postgres.link import FenceState
from pgherd.postgres.observe import Observer

ENDS = psycopg.OperationalError("FATAL:  the database system is shutting down")
STARTS = psycopg.OperationalError("FATAL:  the database system is starting up")
LOST = psycopg.OperationalError("server closed the connection unexpectedly")


class Stage:
    """Everything that an observation reads: who runs, what it answers, pg_control, and the end of the WAL on disk."""

    def __init__(self, folder: Path) -> None:
        settings = PostgresSettings(17, "/nowhere", str(folder / "data"), str(folder / "state"))
        self.layout = Layout(settings, str(folder))
        self.settings = Settings("demo", settings, ("a", "b"))
        self.layout.data.mkdir(parents=True)
        self.layout.wal.mkdir()
        self.layout.state.mkdir(parents=True)
        incarnation.renew(self.layout.data)
        self.pid: int | None = None
        self.answer: dict[str, Any] | Exception = STARTS
        self.control = ControlData("42", "shut down", Position(2, 500), None, 16 << 20)
        self.end: tuple[Position | None, bool] = (Position(2, 900), True)
        self.observer = self.anew()

    def anew(self) -> Observer:
        """An agent that has just started."""
        self.observer: Any = Observer(self.layout, self.settings, self)  # type: ignore[arg-type]
        self.observer.control = self.observer.wal_end = self
        self.observer._fetch = self.fetch
        return self.observer  # type: ignore[no-any-return]

    async def state(self) -> FenceState:
        return FenceState(self.pid, armed=True, overdue=False, dead=self.pid is None, writable=False)

    async def read(self) -> ControlData:
        return self.control

    async def position(self, control: ControlData, patience: float) -> tuple[Position | None, bool]:
        return self.end

    async def fetch(self) -> dict[str, Any]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def sees(self, pid: int | None, answer: dict[str, Any] | Exception) -> Server:
        self.pid, self.answer = pid, answer
        return await self.observer.observe()


def standby(**changes: Any) -> dict[str, Any]:
    row = {
        "recovery": True, "system_identifier": "42", "walfile": None, "flushed": None, "received": None,
        "replayed": "0/258", "paused": False, "replay_waits": None, "checkpoint_timeline": 2, "minimum_timeline": 2,
        "receiver": None, "received_timeline": None, "conninfo": "", "restore": "", "limits": [1] * 5, "senders": None,
        "version": 170000,
    }  # fmt: skip
    return row | changes


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path / "volume")


async def test_an_agent_that_starts_beside_a_starting_standby_knows_what_is_on_its_disk(stage: Stage) -> None:
    """Else it would give a vote for less than it has flushed (S3), and be ranked behind others."""
    assert (await stage.sees(7, STARTS)).position == Position(2, 900)
    assert (await stage.sees(7, standby())).position == Position(2, 900)


async def test_an_agent_that_starts_beside_one_that_replays_finds_it_out(stage: Stage) -> None:
    stage.end = (None, True)
    assert (await stage.sees(7, standby())).position == Position(2, 600)
    stage.end = (Position(2, 900), True)
    assert (await stage.sees(7, standby())).position == Position(2, 900)
    assert (await stage.sees(7, standby(received="0/2BC"))).position == Position(2, 700)


async def test_a_new_agent_knows_a_shutdown_that_somebody_else_ordered(stage: Stage) -> None:
    """Taken for a start, one that hangs would never be ended; without the data it would be taken for a loss of them."""
    seen = await stage.sees(7, ENDS)
    assert (seen.process, seen.position, seen.primary, seen.clean) == (Process.STOPPING, Position(2, 900), False, False)
    assert not seen.was_primary
    stage.end = (None, True)
    stage.anew()
    assert (await stage.sees(7, ENDS)).data.value == "present"


async def test_a_shutdown_stays_one_until_another_postmaster_runs(stage: Stage) -> None:
    assert (await stage.sees(7, standby())).process is Process.RUNNING
    assert (await stage.sees(7, ENDS)).process is Process.STOPPING
    assert (await stage.sees(7, LOST)).process is Process.STOPPING
    assert (await stage.sees(7, standby())).process is Process.STOPPING
    assert (await stage.sees(8, STARTS)).process is Process.STARTING
    assert (await stage.sees(8, standby())).process is Process.RUNNING


async def test_a_promotion_under_way_counts_also_while_it_ends(stage: Stage) -> None:
    """It may have become writable before it was told to stop."""
    await stage.sees(7, standby())
    stage.observer.promoting = 7
    assert (await stage.sees(7, ENDS)).primary


async def test_its_own_stop_counts_for_the_postmaster_that_it_was_sent_to(stage: Stage) -> None:
    await stage.sees(7, standby())
    stage.observer.stopping = 7
    assert (await stage.sees(7, LOST)).process is Process.STOPPING
    assert (await stage.sees(8, standby())).process is Process.RUNNING


async def test_who_answered_and_is_silent_now_is_as_it_was(stage: Stage) -> None:
    """Frozen: it may still be writing (S1)."""
    before = await stage.sees(7, standby(recovery=False, walfile="00000002" + "0" * 16, flushed="0/258"))
    assert before.primary and await stage.sees(7, LOST) == before


async def test_a_started_standby_has_the_wal_that_was_on_disk(stage: Stage) -> None:
    """Also where the start forgets a search for its end, and somebody looks meanwhile."""
    assert (await stage.sees(None, LOST)).position == Position(2, 900)
    stage.end = (None, True)
    assert (await stage.sees(None, LOST)).position is None
    assert (await stage.sees(7, standby())).position == Position(2, 900)
    assert (await stage.sees(7, standby(replayed="0/3E8"))).position == Position(2, 1000)
    assert (await stage.sees(7, standby(received="0/2BC"))).position == Position(2, 700)
    assert (await stage.sees(7, standby())).position == Position(2, 600), "what a receiver began after counts alone"


@pytest.mark.parametrize("change", ["copied", "unknown", "gone", "other-timeline"])
async def test_what_was_on_disk_of_other_data_does_not_count(stage: Stage, change: str) -> None:
    """It would be elected for WAL that it has not (S2)."""
    await stage.sees(None, LOST)
    stage.end = (None, True)
    if change == "copied":
        incarnation.renew(stage.layout.data)
    elif change == "unknown":
        stage.end = (Position(2, 800), False)
        await stage.sees(None, LOST)
        stage.end = (None, True)
    elif change == "gone":
        stage.layout.rewinding.touch()
        await stage.sees(None, LOST)
        stage.layout.rewinding.unlink()
    timeline = 3 if change == "other-timeline" else 2
    seen = await stage.sees(7, standby(checkpoint_timeline=timeline))
    assert seen.position == Position(timeline, 600)
