"""Long actions: one at a time, seen as state, and who may take whose place."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.unit.runtime.stand_ins import Bench, FakePostgres, reached

from pgherd.kubernetes.store import PodSeen
from pgherd.model.actions import Clone, Initialise, Kill, Promote, Start, Stop
from pgherd.model.member import MemberStatus, Pod
from pgherd.model.position import Position
from pgherd.model.server import Data, Process, Server
from pgherd.model.settings import Configuration
from pgherd.model.view import TaskKind
from pgherd.runtime.tasks import Tasks


class Stage(Bench):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.server = FakePostgres()
        self.looks = self.polls = 0
        self.news: int | None = None
        self.writable: list[Position | None] = []
        self.ended: list[tuple[str, str]] = []
        self.tasks = Tasks(
            self.state, self.server, self.look, self.poll, self.hold, self.clock, self.log, self.writable.append,
            lambda request, error: self.ended.append((request, error)),
        )  # fmt: skip
        self.state.saw_pods((PodSeen(Pod("demo-1", "u1", address="10.0.0.2")),))

    async def look(self) -> None:
        assert self.state.task is not None  # PostgreSQL is seen before the task disappears
        self.looks += 1

    async def hold(self) -> None:
        self.server.calls.append("hold clients")

    async def poll(self) -> None:
        self.polls += 1
        if self.news is not None:
            self.standby_runs_with(self.news)

    def standby_runs_with(self, connections: int) -> None:
        limits = {"max_connections": connections}
        pod = Pod("demo-1", "u1", address="10.0.0.2")
        self.state.saw_answer(
            pod, MemberStatus("demo-1", "u1", state="running", role="replica", limits=limits), 1000.0, 1000.0
        )

    async def settle(self) -> None:
        await reached(lambda: self.state.task is None)

    async def begin(self, *calls: str) -> None:
        await reached(lambda: self.server.calls[-len(calls) :] == list(calls))


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


async def test_a_task_is_state_until_its_effect_was_seen(stage: Stage) -> None:
    stage.tasks.order(Clone("demo-1"))
    assert stage.state.task is not None
    assert (stage.state.task.kind, stage.state.task.target) == (TaskKind.CLONE, "demo-1")
    await stage.settle()
    assert stage.server.calls == ["clone demo-1 10.0.0.2 demo_0"]
    assert stage.looks == 1


async def test_ordering_again_changes_nothing(stage: Stage) -> None:
    stage.server.gate = asyncio.Event()
    stage.tasks.order(Initialise())
    await stage.begin("initialise")
    stage.tasks.order(Initialise())
    stage.tasks.order(Start(True))
    stage.server.gate.set()
    await stage.settle()
    assert stage.server.calls == ["initialise"]


async def test_a_failure_is_remembered_with_its_target(stage: Stage) -> None:
    stage.server.fails = RuntimeError("no space left")
    stage.tasks.order(Clone("demo-1"))
    await stage.settle()
    [failure] = stage.state.failures
    assert (failure.kind, failure.target, failure.error) == (TaskKind.CLONE, "demo-1", "no space left")


async def test_a_source_without_an_address_is_a_failure(stage: Stage) -> None:
    stage.tasks.order(Clone("demo-2"))
    await stage.settle()
    assert "demo-2 has no pod" in stage.state.failures[0].error


@pytest.mark.parametrize("action", [Stop(5.0), Kill()])
async def test_stop_and_kill_take_the_place_of_a_task(stage: Stage, action: Stop | Kill) -> None:
    stage.server.gate = asyncio.Event()
    stage.tasks.order(Clone("demo-1"))
    await asyncio.sleep(0.01)
    stage.tasks.order(action)
    await asyncio.sleep(0.01)
    stage.server.gate.set()
    await stage.settle()
    assert stage.server.calls[1:] == ["stop" if isinstance(action, Stop) else "kill"]
    assert stage.state.failures == ()


async def test_a_promotion_is_not_stopped_and_is_ended_only_by_the_killing_pass(stage: Stage) -> None:
    stage.server.gate = asyncio.Event()
    stage.tasks.order(Promote(2))
    await stage.begin("promote 2")
    stage.tasks.order(Stop(5.0))
    assert stage.state.task is not None and stage.state.task.kind is TaskKind.PROMOTE
    stage.tasks.order(Kill())
    await stage.settle()
    assert stage.server.calls == ["promote 2", "kill"]
    assert stage.writable == []


async def test_a_promotion_says_where_it_began(stage: Stage) -> None:
    stage.tasks.order(Promote(2))
    await stage.settle()
    assert stage.writable == [Position(2, 100)]
    stage.tasks.order(Start(True))
    await stage.settle()
    assert stage.writable == [Position(2, 100), None]


@pytest.mark.parametrize(
    ("asked_last", "news", "polls", "starts_with"),
    [(100, None, 0, {}), (60, 100, 1, {}), (60, 60, 1, {"max_connections": 60})],
)
async def test_a_standby_that_holds_a_primary_back_is_asked_anew(
    stage: Stage, asked_last: int, news: int | None, polls: int, starts_with: dict[str, int]
) -> None:
    """It may have been restarted since, and the primary would wait for one more restart."""
    stage.standby_runs_with(asked_last)
    stage.news = news
    stage.tasks.order(Start(True))
    await stage.settle()
    assert (stage.polls, stage.server.parameters) == (polls, starts_with)


@pytest.mark.parametrize(("primary", "held"), [(True, ["hold clients"]), (False, [])])
async def test_clients_are_held_back_after_the_checkpoint_and_before_the_stop(
    stage: Stage, primary: bool, held: list[str]
) -> None:
    """A checkpoint takes seconds, and they need not wait for it; a standby's clients need not wait at all."""
    stage.state.server = Server(data=Data.PRESENT, process=Process.RUNNING, primary=primary)
    stage.tasks.order(Stop(5.0, checkpoint=True))
    await stage.settle()
    assert stage.server.calls == ["settle", *held, "stop"]


async def test_a_stop_that_cannot_wait_holds_nobody_back(stage: Stage) -> None:
    stage.state.server = Server(data=Data.PRESENT, process=Process.RUNNING, primary=True)
    stage.tasks.order(Stop(5.0))
    await stage.settle()
    assert stage.server.calls == ["stop"]


@pytest.mark.parametrize("action", [Initialise(), Start(writable=True), Start(writable=False), Promote(2)])
async def test_no_time_to_start_is_for_the_lease_and_ends_no_task(stage: Stage, action: Initialise | Start) -> None:
    """`primary_start_timeout: 0` hands over at once; what is begun nonetheless is to end well."""
    stage.state.configuration = Configuration(primary_start_timeout=0)
    stage.tasks.order(action)
    await stage.settle()
    assert stage.server.calls and not stage.state.failures
