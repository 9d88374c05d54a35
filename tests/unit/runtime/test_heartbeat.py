"""The agent's own look at both clocks: a machine that was moved while it stood still holds no lease any more (§2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.runtime.stand_ins import FREE, Bench, Clock, FakePostgres, reached, running

from pgherd.decide import decide
from pgherd.model import knowledge as k
from pgherd.model.knowledge import Attempt, Knowledge, WriteKind
from pgherd.runtime.agent import Agent, Parts


class Stage(Bench):
    """Only the heartbeat runs."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.wall = Clock(1_700_000_000.0)
        unused: Any = None
        parts = Parts(
            stores=self.stores, fence=self.fence, server=FakePostgres(), decide=decide, ask=unused,
            ask_promises=unused, apply=unused, serve=unused, certify=unused,
        )  # fmt: skip
        self.agent = Agent(
            self.settings, self.identity, parts, self.container, folder, self.log, self.clock, self.wall
        )  # fmt: skip
        record = self.mine(FREE, epoch=1, released=None)
        held = Attempt("n", self.clock.now, 10, WriteKind.RENEW, 1, "1")
        self.agent.state.knowledge = Knowledge(record=record, held=held, held_from=self.clock.now, highest_epoch=1)

    @property
    def holds(self) -> bool:
        return k.holds(self.agent.state.knowledge, self.clock.now)

    async def beat(self) -> None:
        """One look more."""
        before = self.fence.beats
        self.agent._pulse.ring()
        await reached(lambda: self.fence.beats > before)
        await asyncio.sleep(0)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    made = Stage(tmp_path)
    async with running(made.agent._heartbeat()):
        await reached(lambda: made.fence.beats > 0)
        yield made


async def test_a_wall_clock_that_went_forward_at_once_costs_the_lease(stage: Stage) -> None:
    stage.wall.now += 60
    await stage.beat()
    await stage.beat()
    assert not stage.holds
    assert "the wall clock stepped forward by 60.0 s" in stage.output.getvalue()


@pytest.mark.parametrize("step", [0.5, -60.0])
async def test_small_steps_and_those_back_mean_nothing(stage: Stage, step: float) -> None:
    stage.wall.now += step
    await stage.beat()
    await stage.beat()
    assert stage.holds


async def test_both_clocks_may_run_on_together(stage: Stage) -> None:
    stage.wall.now += 5
    stage.clock.now += 5
    await stage.beat()
    await stage.beat()
    assert stage.holds


async def test_in_a_recorded_pause_nobody_is_killed_for_it(stage: Stage) -> None:
    stage.fence.disarmed = True
    stage.wall.now += 60
    await stage.beat()
    await stage.beat()
    assert stage.holds
