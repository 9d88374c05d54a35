"""How often the own PostgreSQL is looked at: less where nothing is expected and nobody waits."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.unit.runtime.stand_ins import Bench, FakePostgres

from pgherd.model.knowledge import Attempt, Knowledge, WriteKind, observed
from pgherd.model.lease import Holder, Lease
from pgherd.model.server import Data, Process, Server
from pgherd.model.view import Task, TaskKind
from pgherd.runtime.observer import CALM, SERENE, TENSE, Observer

RUNS = Server(data=Data.PRESENT, process=Process.RUNNING, incarnation="i")
LED = Lease(leader="demo-1", epoch=3, ttl=10, holder=Holder("u", "c", "n", 1, 1))


def idle(folder: Path, **configuration: object) -> tuple[Bench, Observer]:
    bench = Bench(folder)
    bench.state.server = RUNS
    bench.state.configuration = msgspec.structs.replace(bench.state.configuration, **configuration)
    bench.state.knowledge = observed(Knowledge(), LED, "7", bench.clock())
    return bench, Observer(bench.state, FakePostgres(), bench.clock)


@pytest.mark.parametrize(("loop_wait", "seconds"), [(0.5, CALM), (2.0, 2.0), (10.0, SERENE)])
def test_renewals_and_peers_look_often_enough(tmp_path: Path, loop_wait: float, seconds: float) -> None:
    assert idle(tmp_path, loop_wait=loop_wait)[1].interval() == seconds


def test_commits_that_wait_for_a_standby_are_not_left_waiting_for_the_look(tmp_path: Path) -> None:
    bench, observer = idle(tmp_path, loop_wait=10.0, synchronous_mode="on")
    assert observer.interval() == SERENE, "a standby's look helps nobody"
    held = Attempt("n", bench.clock(), 10, WriteKind.RENEW, 3, "7")
    bench.state.knowledge = msgspec.structs.replace(bench.state.knowledge, held=held)
    assert observer.interval() == CALM


def test_what_is_expected_is_looked_for(tmp_path: Path) -> None:
    bench, observer = idle(tmp_path)
    bench.state.task = Task(TaskKind.PROMOTE, 0.0, None)
    assert observer.interval() == TENSE
    bench.state.task = None
    bench.clock.now += 100.0  # the lease has ended
    assert observer.interval() == TENSE
