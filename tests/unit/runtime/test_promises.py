"""Rounds and promises with their side effects: what the fence hears, and what a new agent inherits (S1, S4)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.runtime.stand_ins import FREE, Bench, reached

from pgherd.kubernetes.store import LockSeen, PodSeen, Unanswered
from pgherd.model import knowledge as k
from pgherd.model.actions import Reason, WriteLease
from pgherd.model.knowledge import WriteKind
from pgherd.model.lease import Candidate, Holder, Lease
from pgherd.model.member import Pod
from pgherd.model.promises import Question, Verdict
from pgherd.runtime.lock import Lock
from pgherd.runtime.promises import Promises
from pgherd.runtime.writer import MANY, Writer

NAMED = (Candidate("demo-1", "i1"), Candidate("demo-2", "i2"))
YES = {name: Verdict(name, f"uid-{name}") for name in ("demo-1", "demo-2")}


def pods() -> tuple[PodSeen, ...]:
    return tuple(PodSeen(Pod(f"demo-{n}", f"uid-demo-{n}", f"10.0.0.{n}")) for n in range(3))


class Stage(Bench):
    """A holder whose peers answer as `words` says, after `takes` seconds."""

    def __init__(self, folder: Path, lease: Lease = FREE) -> None:
        super().__init__(folder, lease)
        self.words: Mapping[str, Verdict | str] = YES
        self.takes = 0.5
        self.asked: list[tuple[tuple[str, ...], Question, float]] = []
        self.gate: asyncio.Event | None = None
        self.writer = Writer(self.state, self.lock, self.stores.lock, self.clock, self.log, lambda *told: None)
        self.promises = Promises(self.state, self.lock, self.ask, self.clock, self.log)
        self.state.pods = pods()

    async def ask(self, who: tuple[Pod, ...], question: Question, limit: float) -> Mapping[str, Verdict | str]:
        self.asked.append((tuple(pod.member for pod in who), question, limit))
        if self.gate is not None:
            await self.gate.wait()
        self.clock.now += self.takes
        return self.words

    async def write(self, kind: WriteKind, **changes: object) -> None:
        record = self.state.knowledge.record
        assert record is not None
        self.clock.now = max(self.clock.now, self.writer.not_before)
        self.writer.submit(WriteLease(kind, self.mine(record, **changes)), Reason("test", "test"))
        await reached(lambda: not self.state.writing)

    async def hold(self) -> None:
        self.lock.inherit()
        await self.lock.refresh(1.0)
        await self.write(WriteKind.TAKE, epoch=1, released=None)
        await self.write(WriteKind.RENEW, candidates=NAMED)

    async def round(self) -> None:
        before = self.state.unpromised
        self.promises.order()
        await reached(lambda: self.state.unpromised is not before)


@pytest.fixture
async def stage(tmp_path: Path) -> Stage:
    made = Stage(tmp_path)
    await made.hold()
    return made


async def test_a_complete_round_moves_the_deadline_to_its_beginning_and_ttl(stage: Stage) -> None:
    stage.clock.now += 6
    began = stage.clock.now
    await stage.round()
    assert stage.fence.deadlines[-1] == began + 10 - 1
    assert k.expires(stage.state.knowledge) == began + 10
    [(who, question, limit)] = stage.asked
    assert who == ("demo-1", "demo-2") and limit == 1.0
    assert (question.member, question.uid, question.epoch, question.ttl) == ("demo-0", "uid-demo-0", 1, 10)
    written = [write.nonce for write in stage.memory.writes]
    assert set(question.nonces) == set(written)  # the last two


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"demo-1": YES["demo-1"]}, "no promise from demo-2"),
        ({"demo-1": YES["demo-1"], "demo-2": "no answer within 1 s"}, "demo-2: no answer within 1 s"),
        ({"demo-1": YES["demo-1"], "demo-2": Verdict("demo-2", "u", "it sees epoch 2 of demo-2")}, "it sees epoch 2"),
        ({}, "no promise from demo-1, demo-2"),
    ],
)
async def test_an_incomplete_round_moves_nothing(stage: Stage, words: Any, said: str) -> None:
    stage.words, before = words, list(stage.fence.deadlines)
    stage.clock.now += 6
    await stage.round()
    assert stage.fence.deadlines == before
    assert said in stage.state.unpromised.why
    assert said in stage.state.view(stage.fence.deadline(), stage.clock()).unpromised


async def test_a_member_without_an_address_cannot_promise(stage: Stage) -> None:
    stage.state.pods = pods()[:2]
    stage.words = {"demo-1": YES["demo-1"]}
    stage.clock.now += 6
    await stage.round()
    assert "demo-2: the API shows no pod with an address" in stage.state.unpromised.why


async def test_what_comes_after_the_deadline_counts_for_nothing(stage: Stage) -> None:
    stage.clock.now += 8.6
    before = list(stage.fence.deadlines)
    await stage.round()
    assert stage.fence.deadlines == before and "after the deadline" in stage.state.unpromised.why


async def test_one_round_at_a_time_and_a_pause_after_one_that_failed(stage: Stage) -> None:
    stage.clock.now += 6
    stage.gate = asyncio.Event()
    stage.promises.order()
    await reached(lambda: bool(stage.asked))
    stage.promises.order()
    stage.words = {}
    stage.gate.set()
    await reached(lambda: stage.state.unpromised.why != "")
    await asyncio.sleep(0)
    stage.promises.order()  # too early
    await asyncio.sleep(0)
    assert len(stage.asked) == 1
    stage.clock.now += 0.25
    stage.words = YES
    stage.promises.order()
    await reached(lambda: len(stage.asked) == 2)
    await stage.promises.close()


async def test_nobody_to_ask_lets_it_go_on(stage: Stage) -> None:
    await stage.write(WriteKind.RENEW, candidates=())
    # The write before named two: they are not asked any more once that is superseded.
    stage.clock.now += 6
    began = stage.clock.now
    await stage.round()
    assert stage.asked == [] and stage.fence.deadlines[-1] == began + 9


async def test_a_write_without_an_answer_adds_whom_it_names(stage: Stage) -> None:
    def lost(record: Lease) -> None:
        raise Unanswered("no answer")

    await stage.write(WriteKind.RENEW, candidates=NAMED[:1])
    stage.memory.before_write = lost
    await stage.write(WriteKind.RENEW, candidates=NAMED)
    stage.clock.now += 4
    await stage.round()
    assert stage.asked[-1][0] == ("demo-1", "demo-2")


async def test_an_outage_of_hours_does_not_fill_the_table_of_unanswered_writes(stage: Stage) -> None:
    gone = True

    async def read(limit: float) -> LockSeen:
        if gone:
            raise Unanswered("no answer")
        return stage.memory.lock.value

    def lost(record: Lease) -> None:
        if gone:
            raise Unanswered("no answer")

    stage.memory.before_write = lost
    stage.stores.lock.read = read  # type: ignore[method-assign]
    for _ in range(1000):
        await stage.write(WriteKind.RENEW, candidates=NAMED)
    assert len(stage.state.knowledge.unanswered) == MANY
    assert len(stage.fence.table) == MANY + 1  # and the one that it holds by
    gone = False
    await stage.write(WriteKind.RENEW, candidates=NAMED)
    assert stage.state.knowledge.unanswered == () and len(stage.fence.table) == 1
    assert k.holds(stage.state.knowledge, stage.clock.now)


async def test_a_round_that_a_surrender_overtakes_arms_nothing(stage: Stage) -> None:
    stage.clock.now += 6
    stage.gate = asyncio.Event()
    stage.promises.order()
    await reached(lambda: bool(stage.asked))
    await stage.write(WriteKind.RELEASE, released=1)
    stage.gate.set()
    await reached(lambda: stage.state.unpromised.why != "")
    assert stage.fence.deadline() == 0.0


async def test_a_round_during_which_the_api_came_back_counts_for_nothing(stage: Stage) -> None:
    """Else renewals and rounds of the same rhythm would overtake each other for ever."""
    stage.clock.now += 6
    stage.gate = asyncio.Event()
    stage.promises.order()
    await reached(lambda: bool(stage.asked))
    await stage.write(WriteKind.RENEW, candidates=NAMED)
    renewed = k.expires(stage.state.knowledge)
    stage.gate.set()
    await reached(lambda: stage.promises.idle)
    assert not k.extended(stage.state.knowledge) and k.expires(stage.state.knowledge) == renewed


async def test_a_new_agent_keeps_the_deadline_that_promises_made(stage: Stage, tmp_path: Path) -> None:
    stage.clock.now += 6
    await stage.round()
    deadline, count = stage.fence.deadline(), len(stage.fence.deadlines)
    stage.state.knowledge = k.Knowledge()
    again = Lock(stage.state, stage.stores.lock, stage.fence, stage.clock, stage.log)
    again.inherit()
    stage.clock.now += 3.5  # past what the last renewal allows
    assert await again.refresh(1.0)
    assert k.holds(stage.state.knowledge, stage.clock.now)
    assert all(deadline - 0.01 < each <= deadline for each in stage.fence.deadlines[count:])


async def test_a_plain_restart_does_not_look_like_promises(stage: Stage) -> None:
    stage.state.knowledge = k.Knowledge()
    again = Lock(stage.state, stage.stores.lock, stage.fence, stage.clock, stage.log)
    again.inherit()
    assert await again.refresh(1.0)
    assert not k.extended(stage.state.knowledge)


# Who promises


def taken_by(member: str, lease: Lease = FREE) -> Lease:
    holder = Holder(f"uid-{member}", "", "nonce", 1, 1)
    return msgspec.structs.replace(lease, leader=member, epoch=1, released=None, holder=holder, candidates=NAMED)


async def observer(folder: Path) -> Stage:
    made = Stage(folder, taken_by("demo-1"))
    made.lock.inherit()
    await made.lock.refresh(1.0)
    return made


ASKED = Question("demo-1", "uid-demo-1", 1, ("nonce",), 10.0)


async def test_a_promise_is_kept_and_told(tmp_path: Path) -> None:
    stage = await observer(tmp_path)
    stage.clock.now += 8
    assert stage.promises.answer(ASKED) == Verdict("demo-0", "uid-demo-0")
    assert k.takeable_at(stage.state.knowledge) == stage.clock.now + 10
    assert stage.output.getvalue().count('"promised"') == 1
    stage.clock.now += 3
    stage.promises.answer(ASKED)
    assert stage.output.getvalue().count('"promised"') == 1


async def test_no_promise_while_a_take_is_about_to_leave(tmp_path: Path) -> None:
    stage = await observer(tmp_path)
    stage.state.writing = True
    assert "not resolved" in stage.promises.answer(ASKED).refused
    assert stage.state.knowledge.given is None


async def test_no_promise_while_a_take_has_no_answer_not_even_by_the_next_agent(tmp_path: Path) -> None:
    stage = await observer(tmp_path)

    def lost(record: Lease) -> None:
        raise Unanswered("no answer")

    stage.memory.before_write = lost
    stage.clock.now += 11
    await stage.write(WriteKind.TAKE, epoch=2, released=None)
    assert "not resolved" in stage.promises.answer(ASKED).refused
    stage.state.knowledge = k.Knowledge()
    Lock(stage.state, stage.stores.lock, stage.fence, stage.clock, stage.log).inherit()
    assert "not resolved" in stage.promises.answer(ASKED).refused
