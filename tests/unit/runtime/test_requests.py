"""What is due comes into the state, what is answered goes out: once, also beside somebody else and a slow watch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.runtime.stand_ins import Bench, Clock, reached, running

from pgherd.kubernetes.memory import MemoryRequests
from pgherd.kubernetes.store import Conflict, RequestsSeen
from pgherd.model.actions import AnswerRequest
from pgherd.model.request import Request, Stage, Verb
from pgherd.runtime.requests import KEPT, Requests

NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z
ONE = Request("one", Verb.RESTART, "demo-0", at="1")


class Stage_(Bench):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.wall = Clock(NOW)
        self.requests = Requests(self.state, self.stores.requests, self.clock, self.wall, self.log)

    def put(self, *requests: Request) -> None:
        self.memory.requests.put(RequestsSeen(self.memory.next_version(), requests))

    def there(self) -> dict[str, Request]:
        return {each.id: each for each in self.memory.requests.value.requests}

    def due(self) -> list[str]:
        return [each.request.id for each in self.state.requests]

    def answer(self, request: Request, stage: Stage, **changes: Any) -> None:
        self.requests.order(AnswerRequest(msgspec.structs.replace(request, state=stage, **changes)))


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage_]:
    made = Stage_(tmp_path)
    async with running(made.requests.watch(), made.requests.run()):
        yield made


async def test_a_request_is_due_until_it_is_finished(stage: Stage_) -> None:
    stage.put(ONE, Request("two", Verb.SWITCHOVER, state=Stage.DONE, at="0"))
    await reached(lambda: stage.due() == ["one"])
    stage.put()
    await reached(lambda: not stage.due())


async def test_an_answer_is_written_and_this_agent_knows_that_it_began(stage: Stage_) -> None:
    stage.put(ONE)
    await reached(lambda: stage.due() == ["one"])
    stage.answer(ONE, Stage.RUNNING, epoch=3)
    assert not stage.state.requests[0].begun  # not confirmed
    stage.clock.now += 5
    await reached(lambda: stage.there()["one"].state is Stage.RUNNING)
    await reached(lambda: stage.state.requests[0].begun is not None)
    assert (stage.state.requests[0].since, stage.state.requests[0].begun) == (1000.0, 1005.0)


async def test_a_last_answer_counts_here_at_once(stage: Stage_) -> None:
    stage.put(ONE)
    await reached(lambda: stage.due() == ["one"])
    stage.answer(ONE, Stage.FAILED, reason="because")
    assert not stage.due()
    await reached(lambda: stage.there()["one"].reason == "because")
    assert stage.there()["one"].ended


async def test_news_from_before_the_answer_does_not_bring_it_back(stage: Stage_) -> None:
    stage.put(msgspec.structs.replace(ONE, state=Stage.RUNNING))
    await reached(lambda: stage.due() == ["one"])
    old = stage.memory.requests.value
    stage.answer(ONE, Stage.DONE)
    await reached(lambda: stage.there()["one"].finished)
    stage.requests._saw(old)
    assert not stage.due()


async def test_a_conflict_is_tried_again_and_the_others_words_stay(
    stage: Stage_, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    stage.put(ONE)
    await reached(lambda: stage.due() == ["one"])
    write, failed = MemoryRequests.write, []

    async def conflicts_once(self: MemoryRequests, *given: Any) -> RequestsSeen:
        if not failed:
            failed.append(True)
            stage.put(ONE, Request("other", Verb.SWITCHOVER, at="2"))
            raise Conflict("modified")
        return await write(self, *given)

    monkeypatch.setattr(MemoryRequests, "write", conflicts_once)
    stage.answer(ONE, Stage.DONE)
    await reached(lambda: stage.there().get("one", ONE).finished)
    assert "other" in stage.there()


async def test_what_somebody_took_back_is_not_overwritten(stage: Stage_) -> None:
    stage.put(ONE)
    await reached(lambda: stage.due() == ["one"])
    stage.put(msgspec.structs.replace(ONE, state=Stage.REFUSED, reason="cancelled"))
    stage.answer(ONE, Stage.RUNNING)
    await reached(lambda: not stage.due())
    assert stage.there()["one"].reason == "cancelled"


async def test_a_schedule_is_kept_and_an_expired_one_says_so(stage: Stage_) -> None:
    later = msgspec.structs.replace(ONE, not_before="2026-01-01T00:00:00.050+00:00", expires="2026-01-01T00:01:00Z")
    stage.put(later)
    await asyncio.sleep(0.01)
    assert not stage.due()
    stage.wall.now += 0.06
    await reached(lambda: stage.due() == ["one"])
    assert not stage.state.requests[0].expired
    stage.wall.now += 60
    stage.put(later)
    await reached(lambda: stage.state.requests[0].expired)


async def test_the_holder_removes_what_ended_long_ago(stage: Stage_) -> None:
    from tests.unit.decide.views import holding, lease

    old = msgspec.structs.replace(ONE, state=Stage.DONE, ended="2026-01-01T00:00:00Z")
    stage.put(old)
    stage.wall.now += KEPT + 1
    stage.put(old, Request("new", Verb.SWITCHOVER, state=Stage.DONE, ended="2026-01-01T01:00:00Z"))
    await asyncio.sleep(0.01)
    assert set(stage.there()) == {"one", "new"}
    stage.state.knowledge = holding(lease())
    stage.put(*stage.there().values())
    await reached(lambda: set(stage.there()) == {"new"})


async def test_what_is_asked_for_over_rest_is_written_and_waited_for(stage: Stage_) -> None:
    asking = asyncio.create_task(stage.requests.ask(ONE))
    await reached(lambda: stage.due() == ["one"])
    assert not asking.done()
    stage.answer(ONE, Stage.DONE, reason="well")
    assert (await asking).reason == "well"
    later = msgspec.structs.replace(ONE, id="later", not_before="2026-01-01T01:00:00Z")
    assert (await stage.requests.ask(later)).state is Stage.PENDING and "later" in stage.there()
    waiting = msgspec.structs.replace(ONE, id="waiting")
    assert (await stage.requests.ask(waiting, limit=-1)).state is Stage.PENDING


async def test_the_holder_answers_annotations_that_cannot_be_a_request(stage: Stage_) -> None:
    from tests.unit.decide.views import holding, lease

    refused = Request("annotations-1", Verb.FAILOVER, "demo-1", state=Stage.REFUSED, reason="scheduled_at='soon': no")
    seen = RequestsSeen(stage.memory.next_version(), (refused,), ("annotations: scheduled_at='soon': no",), refused.id)
    stage.memory.requests.put(seen)
    await asyncio.sleep(0.01)
    assert not stage.due() and stage.memory.requests.value is seen
    stage.state.knowledge = holding(lease())
    stage.memory.requests.put(msgspec.structs.replace(seen, version=stage.memory.next_version()))
    await reached(lambda: bool(stage.there()[refused.id].ended))
    assert not stage.memory.requests.value.keyed
