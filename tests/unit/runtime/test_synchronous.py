"""Proofs of the setting, and of a standby that is cut off, are never more than the last order's own end (S3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from tests.unit.runtime.stand_ins import Bench, FakePostgres, nothing, reached

from pgherd.kubernetes.store import PodSeen
from pgherd.model.actions import CutOff, Follow, Require
from pgherd.model.member import Pod
from pgherd.model.server import Data, Process, Server
from pgherd.model.synchronous import ALONE, Enforced, Rule, Standby
from pgherd.runtime import cut_off
from pgherd.runtime.synchronous import Requirement
from pgherd.runtime.tasks import Tasks
from pgherd.runtime.upkeep import Following

A, B = Rule((Standby("demo-1", "i1"),), 1), Rule((Standby("demo-2", "i2"),), 1)
PRIMARY = Server(data=Data.PRESENT, process=Process.RUNNING, primary=True)
STANDBY = Server(data=Data.PRESENT, process=Process.RUNNING, following="demo-1", streaming=True)


class Stage(Bench):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.server = FakePostgres()
        self.requirement = Requirement(self.state, self.server, self.log)
        self.looked = 0
        tasks = Tasks(
            self.state, self.server, self.look, nothing, nothing, self.clock, self.log, lambda _: None, lambda *_: None
        )
        self.following = Following(self.state, self.server, tasks, self.log)
        self.state.saw_pods((PodSeen(Pod("demo-1", "u1", address="10.0.0.2")),))

    async def look(self) -> None:
        self.looked += 1
        assert self.state.cut_off == "", "a position of before must not be reported as final"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        loop = asyncio.create_task(self.requirement.run())
        try:
            yield
        finally:
            loop.cancel()
            await asyncio.gather(loop, return_exceptions=True)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


async def test_nothing_is_proved_until_the_order_has_ended(stage: Stage) -> None:
    stage.state.saw_server(PRIMARY, 1.0)
    stage.server.gate = asyncio.Event()
    async with stage.running():
        stage.requirement.order(Require(A))
        await reached(lambda: stage.server.calls == ["require demo-1"])
        assert stage.state.enforced is None
        stage.server.gate.set()
        await reached(lambda: stage.state.enforced == Enforced(A, 9))
        stage.requirement.order(Require(A))
        await asyncio.sleep(0)
        assert stage.server.calls == ["require demo-1"], "ordered again it changes nothing"


async def test_another_order_makes_the_earlier_ones_end_worthless_and_comes_after_it(stage: Stage) -> None:
    stage.state.saw_server(PRIMARY, 1.0)
    stage.server.gate = asyncio.Event()
    proofs = []
    async with stage.running():
        stage.requirement.order(Require(A))
        await reached(lambda: len(stage.server.calls) == 1)
        stage.requirement.order(Require(B))
        stage.server.gate.set()
        await reached(lambda: proofs.append(stage.state.enforced) or stage.state.enforced is not None)
    assert stage.server.calls == ["require demo-1", "require demo-2"]
    assert set(proofs) == {None, Enforced(B, 9)}


async def test_from_another_order_on_nothing_is_proved(stage: Stage) -> None:
    stage.state.saw_server(PRIMARY, 1.0)
    async with stage.running():
        stage.requirement.order(Require(A))
        await reached(lambda: stage.state.enforced is not None)
        stage.requirement.order(Require(ALONE))
        assert stage.state.enforced is None


async def test_a_proof_ends_with_its_server(stage: Stage) -> None:
    stage.state.saw_server(PRIMARY, 1.0)
    stage.server.gate = asyncio.Event()
    async with stage.running():
        stage.requirement.order(Require(A))
        await reached(lambda: len(stage.server.calls) == 1)
        stage.state.saw_server(msgspec.structs.replace(PRIMARY, process=Process.STOPPED), 2.0)
        stage.server.gate.set()
        await asyncio.sleep(0.01)
        assert stage.state.enforced is None
        stage.state.saw_server(PRIMARY, 3.0)
        stage.requirement.order(Require(A))
        await reached(lambda: stage.state.enforced == Enforced(A, 9))
    assert stage.server.calls == ["require demo-1"] * 2


async def test_a_cut_off_is_on_the_volume_before_and_in_the_state_after_a_look(stage: Stage) -> None:
    stage.state.saw_server(STANDBY, 1.0)
    stage.following.order(CutOff("n"))
    await reached(lambda: stage.state.cut_off == "n")
    assert stage.looked == 1 and cut_off.remembered(stage.settings) == "n" == stage.state.barred_nonce
    stage.following.check()  # the followed pod's address is not known yet: that is no reason to follow again
    await asyncio.sleep(0)
    assert stage.server.calls == ["cut off"]
    stage.following.order(Follow("demo-1"))
    assert stage.state.cut_off == ""
    await reached(lambda: stage.server.calls[-1] == "follow 10.0.0.2")


async def test_a_cut_off_that_failed_is_none(stage: Stage) -> None:
    stage.state.saw_server(STANDBY, 1.0)
    stage.server.fails = RuntimeError("the WAL receiver does not end")
    stage.following.order(CutOff("n"))
    await reached(lambda: bool(stage.server.calls))
    await asyncio.sleep(0.01)
    assert stage.state.cut_off == "" and "does not end" in stage.output.getvalue()


def test_nobody_was_cut_off_on_a_new_volume(stage: Stage) -> None:
    assert cut_off.remembered(stage.settings) == ""
