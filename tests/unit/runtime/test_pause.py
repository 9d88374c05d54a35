"""The fence is disarmed by a confirmed record of the own lease with the pause, and by nothing else (S1, S4)."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.unit.runtime.stand_ins import Bench
from tests.unit.runtime.test_writer import Stage

from pgherd.kubernetes.store import LockSeen, StoreError, Unanswered
from pgherd.model.knowledge import WriteKind, holds
from pgherd.model.lease import Lease
from pgherd.runtime.lock import Lock


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


@pytest.fixture
async def paused(stage: Stage) -> Stage:
    await stage.take()
    await stage.write(WriteKind.RENEW, pause=True)
    return stage


def silent(record: Lease) -> StoreError:
    return Unanswered("the reply was lost")


async def test_the_confirmed_record_disarms(paused: Stage) -> None:
    assert paused.fence.disarmed
    paused.clock.now += 3600
    assert holds(paused.state.knowledge, paused.clock.now)


async def test_a_wish_disarms_nothing(stage: Stage) -> None:
    await stage.take()
    stage.state.configuration = msgspec.structs.replace(stage.state.configuration, pause=True)
    await stage.write(WriteKind.RENEW)
    assert not stage.fence.disarmed


async def test_a_record_without_an_answer_disarms_nothing_until_it_is_read_back(stage: Stage) -> None:
    await stage.take()
    stage.memory.before_write = silent
    await stage.write(WriteKind.RENEW, pause=True)  # read back by the writer itself
    assert stage.fence.disarmed


async def test_a_persons_annotation_disarms_nothing(stage: Stage) -> None:
    await stage.take()
    record = stage.memory.lock.value.record
    assert record is not None
    stage.lock.saw(LockSeen(msgspec.structs.replace(record, pause=True), stage.memory.next_version()))
    assert not stage.fence.disarmed


async def test_the_fence_is_armed_before_the_end_of_the_pause_is_sent(paused: Stage) -> None:
    armed: list[bool] = []
    paused.memory.before_write = lambda record: armed.append(not paused.fence.disarmed)  # type: ignore[func-returns-value]
    held = paused.state.knowledge.held
    assert held is not None
    paused.clock.now += 1
    await paused.write(WriteKind.RENEW, pause=False)
    assert armed == [True]
    assert paused.fence.deadlines[-2:] == [held.t0 + 9, paused.clock.now + 9]


async def test_an_end_that_was_refused_leaves_the_pause(paused: Stage) -> None:
    record = paused.memory.lock.value.record
    paused.memory.lock.put(LockSeen(record, paused.memory.next_version()))
    await paused.write(WriteKind.RENEW, pause=False)  # 409
    assert paused.fence.disarmed


async def test_a_lease_that_was_given_up_is_not_paused(paused: Stage) -> None:
    record = paused.state.knowledge.record
    assert record is not None
    await paused.write(WriteKind.RELEASE, released=record.epoch)
    assert not paused.fence.disarmed and paused.fence.armed == 0.0


@pytest.mark.parametrize("epoch", [1, 2])
async def test_anothers_record_ends_it(paused: Stage, epoch: int) -> None:
    record = paused.memory.lock.value.record
    assert record is not None and record.holder is not None
    theirs = msgspec.structs.replace(record.holder, uid="another", nonce="theirs")
    other = msgspec.structs.replace(record, leader="demo-1", epoch=epoch, holder=theirs)
    paused.lock.saw(LockSeen(other, paused.memory.next_version()))
    assert not paused.fence.disarmed and paused.fence.armed == 0.0


async def anew(bench: Bench) -> Lock:
    """Another agent in the same container, once it has read the lock."""
    state = type(bench.state)(bench.settings, bench.identity, bench.container, bench.log)
    lock = Lock(state, bench.stores.lock, bench.fence, bench.clock, bench.log)
    lock.inherit()
    assert await lock.refresh(1.0)
    return lock


async def test_an_agent_that_starts_anew_goes_on_with_the_pause(paused: Stage) -> None:
    paused.clock.now += 3600
    await anew(paused)
    assert paused.fence.disarmed


async def test_a_new_agent_reads_that_the_pause_has_ended(paused: Stage) -> None:
    """The last one died after it had sent the end; the deadline that it armed stands, and is followed."""
    before = paused.state.knowledge.held
    await paused.write(WriteKind.RENEW, pause=False)
    await anew(paused)
    assert before is not None and not paused.fence.disarmed and paused.fence.armed > 0.0
