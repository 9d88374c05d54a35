"""Writes of the lease and the fence's deadline: whatever the API does, the stricter outcome counts (S4)."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.unit.runtime.stand_ins import FREE, Bench, reached

from pgherd.kubernetes.store import LockSeen, Refused, StoreError, Unanswered
from pgherd.model import knowledge as k
from pgherd.model.actions import Reason, WriteLease
from pgherd.model.knowledge import WriteKind
from pgherd.model.lease import Holder, Lease
from pgherd.runtime.lock import Lock
from pgherd.runtime.writer import Writer

REASON = Reason("test", "because the test says so")


class Stage(Bench):
    def __init__(self, folder: Path, lease: Lease = FREE) -> None:
        super().__init__(folder, lease)
        self.told: list[WriteKind] = []
        self.writer = Writer(
            self.state, self.lock, self.stores.lock, self.clock, self.log,
            lambda action, before, record, reason: self.told.append(action.kind),
        )  # fmt: skip

    async def begin(self) -> None:
        self.lock.inherit()
        await self.lock.refresh(1.0)

    async def write(self, kind: WriteKind, **changes: object) -> None:
        record = self.state.knowledge.record
        assert record is not None
        self.clock.now = max(self.clock.now, self.writer.not_before)
        self.writer.submit(WriteLease(kind, self.mine(record, **changes)), REASON)
        await reached(lambda: not self.state.writing)

    async def take(self) -> None:
        await self.begin()
        await self.write(WriteKind.TAKE, epoch=1, released=None)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


async def test_a_confirmed_take_arms_from_before_it_was_sent(stage: Stage) -> None:
    def slow(record: Lease) -> None:
        stage.clock.now += 2.0

    stage.memory.before_write = slow
    await stage.take()
    assert k.holds(stage.state.knowledge, stage.clock.now)
    assert stage.fence.deadlines == [1000.0 + 10 - 1]
    assert stage.told == [WriteKind.TAKE]
    record = stage.memory.writes[0]
    assert record.holder is not None and record.holder.uid == "uid-demo-0"
    assert record.acquire_time == record.renew_time != ""


async def test_the_mapping_knows_a_write_before_it_leaves(stage: Stage) -> None:
    known: list[tuple[str, ...]] = []

    def look(record: Lease) -> None:
        known.append(tuple(stage.fence.table))
        assert record.nonce in stage.fence.table
        assert stage.container.wrote

    stage.memory.before_write = look
    await stage.take()
    await stage.write(WriteKind.RENEW)
    assert len(known) == 2
    assert list(stage.fence.table) == [stage.memory.writes[-1].nonce]  # only what a new agent needs


async def test_an_unanswered_write_that_succeeded_is_read_back(stage: Stage) -> None:
    await stage.take()
    stage.clock.now += 3
    stage.memory.before_write = lambda record: Unanswered("lost reply")
    await stage.write(WriteKind.RENEW)
    assert stage.fence.armed == 1003 + 10 - 1
    assert stage.told == [WriteKind.TAKE, WriteKind.RENEW]


async def test_an_unanswered_write_that_failed_moves_nothing_forward(stage: Stage) -> None:
    await stage.take()
    stage.clock.now += 3

    def lost(record: Lease) -> StoreError | None:
        raise Unanswered("nobody there")

    stage.memory.before_write = lost
    await stage.write(WriteKind.RENEW)
    assert stage.fence.armed == 1009.0
    assert len(stage.state.knowledge.unanswered) == 1  # it may still arrive


async def test_a_refused_write_never_happened(stage: Stage) -> None:
    await stage.take()

    def refuse(record: Lease) -> StoreError | None:
        raise Refused(403, "forbidden")

    stage.memory.before_write = refuse
    await stage.write(WriteKind.RENEW)
    assert stage.state.knowledge.unanswered == ()
    assert stage.fence.armed == 1009.0
    assert stage.writer.not_before > stage.clock.now  # no storm of refused writes


async def test_a_conflict_is_read_and_believed(stage: Stage) -> None:
    await stage.take()
    theirs = Holder("u2", "c2", "theirs", 2, 1)
    other = msgspec.structs.replace(stage.memory.writes[-1], leader="demo-1", epoch=2, holder=theirs)
    stage.memory.lock.put(LockSeen(other, stage.memory.next_version()))
    await stage.write(WriteKind.RENEW)
    assert stage.state.knowledge.held is None
    assert stage.fence.armed == 0.0
    assert stage.fence.table == {}


async def test_giving_up_takes_the_deadline_away_before_it_is_sent(stage: Stage) -> None:
    await stage.take()
    seen: list[float] = []

    def look(record: Lease) -> None:
        seen.append(stage.fence.armed)

    stage.memory.before_write = look
    await stage.write(WriteKind.RELEASE, released=1)
    assert seen == [0.0]
    assert stage.fence.armed == 0.0 and stage.told[-1] is WriteKind.RELEASE


async def test_a_refused_surrender_arms_again_only_by_a_later_write(stage: Stage) -> None:
    await stage.take()
    stage.clock.now += 1

    def refuse(record: Lease) -> StoreError | None:
        raise Refused(500, "no")

    stage.memory.before_write = refuse
    await stage.write(WriteKind.RELEASE, released=1)
    assert stage.state.knowledge.held is not None and stage.fence.armed == 0.0
    stage.memory.before_write = lambda record: None
    stage.clock.now += 1
    await stage.write(WriteKind.RENEW, released=None)
    assert stage.fence.armed > stage.clock.now


async def test_a_new_agent_inherits_deadline_and_lease(stage: Stage) -> None:
    await stage.take()
    again = Lock(stage.state, stage.stores.lock, stage.fence, stage.clock, stage.log)
    deadline = stage.fence.armed
    again.inherit()
    assert stage.state.knowledge.held is None and stage.fence.armed == deadline  # not moved before it knows
    await again.refresh(1.0)
    assert k.holds(stage.state.knowledge, stage.clock.now) and stage.fence.armed == 1009.0
    assert not stage.state.predecessor_held()


async def test_late_news_never_replaces_newer(stage: Stage) -> None:
    await stage.take()
    old = LockSeen(FREE, "1")
    assert not stage.lock.saw(old)
    assert k.holds(stage.state.knowledge, stage.clock.now)
    assert not stage.lock.saw(LockSeen(None, "", "the lock object is missing"))  # only a read may say so
    assert k.holds(stage.state.knowledge, stage.clock.now)


async def test_an_epoch_that_went_back_is_noticed_after_a_restart(tmp_path: Path) -> None:
    theirs = Holder("u", "c", "theirs", 1, 1)
    stage = Stage(tmp_path, Lease(leader="demo-1", epoch=7, ttl=10, holder=theirs))
    await stage.begin()
    path = Path(stage.state.settings.postgres.state_directory) / "lease-seen.json"
    await reached(lambda: path.exists())  # written in a thread
    again = Stage(tmp_path, Lease(leader="demo-1", epoch=2, ttl=10, holder=theirs))
    await again.begin()
    assert again.state.knowledge.record is None
    assert "went back from 7 to 2" in again.state.knowledge.trouble


async def test_proof_3_is_the_predecessors_lease_only(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    lease = stage.mine(FREE, epoch=4, released=None)
    stage.memory.lock.put(LockSeen(lease, "9"))
    await stage.begin()
    assert stage.state.knowledge.held is None and stage.state.predecessor_held()
    await stage.write(WriteKind.TAKE, epoch=5)
    assert not stage.state.predecessor_held()


async def test_a_write_rests_on_what_was_known_when_it_was_decided(stage: Stage) -> None:
    """News between the decision and the request: a renewal must not be overwritten by a take that never saw it (S1)."""
    await stage.begin()
    record = stage.state.knowledge.record
    assert record is not None
    stage.writer.submit(WriteLease(WriteKind.TAKE, stage.mine(record, epoch=1, released=None)), REASON)
    newer = LockSeen(Lease(leader="demo-1", epoch=1, ttl=10, holder=Holder("u", "c", "theirs", 1, 1)), "9")
    stage.memory.lock.put(newer)
    assert stage.lock.saw(newer)
    await reached(lambda: not stage.state.writing)
    assert stage.memory.writes == [] and stage.state.knowledge.record == newer.record
    assert not stage.container.wrote
