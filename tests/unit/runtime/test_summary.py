"""The status object is written by the published primary alone, when it has news, and at most once a minute."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.unit.rest.stand_ins import LEASE, PRIMARY, REPLICA, Source
from tests.unit.runtime.stand_ins import Bench, reached

from pgherd.kubernetes.store import Refused
from pgherd.runtime import summary
from pgherd.runtime.summary import EVERY, LOOK, Summaries


class Stage:
    """A primary `demo-a-0` at the address that the lease publishes, and what it has written."""

    def __init__(self, folder: Path) -> None:
        self.bench = Bench(folder)
        self.words = Source(PRIMARY, LEASE)
        store = self.bench.stores.summary
        self.summaries = Summaries(self.bench.state, self.words, store, self.bench.clock, self.bench.log)  # type: ignore[arg-type]

    @property
    def written(self) -> list[str]:
        return self.bench.memory.summaries

    async def later(self, seconds: float, writes: int) -> None:
        """So much later a decision is taken: it is exactly the `writes`-th write, or none follows."""
        self.bench.clock.now += seconds
        self.summaries.check()
        await reached(lambda: len(self.written) >= writes)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(self.written) == writes


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    made = Stage(tmp_path)
    task = asyncio.create_task(made.summaries.run())
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_news_are_written_once_and_at_most_once_a_minute(stage: Stage) -> None:
    await stage.later(0, 1)
    assert json.loads(stage.written[0])["primary"] == "demo-a-0"
    await stage.later(10 * EVERY, 1)  # nothing new
    stage.words.record = replace(LEASE, pause=True)
    await stage.later(LOOK, 2)
    stage.words.record = LEASE
    await stage.later(EVERY / 2, 2)
    await stage.later(EVERY / 2, 3)


async def test_another_agent_keeps_the_times_of_the_first(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "wall", lambda: "t1")
    await stage.later(0, 1)
    monkeypatch.setattr(summary, "wall", lambda: "t2")
    stage.words.record = replace(LEASE, address=None)  # no longer published
    await stage.later(2 * EVERY, 1)
    stage.words.record = replace(LEASE, pause=True)
    await stage.later(LOOK, 2)
    times = {each["type"]: each["lastTransitionTime"] for each in json.loads(stage.written[1])["conditions"]}
    assert times["Ready"] == "t1" and times["Paused"] == "t2"


async def test_nobody_but_the_published_primary_writes(stage: Stage) -> None:
    for words in (
        {"status": REPLICA},
        {"record": None},
        {"record": replace(LEASE, address="10.9.9.9")},
        {"status": replace(PRIMARY, holds_until=0.0)},
    ):
        stage.words.status, stage.words.record = PRIMARY, LEASE
        for name, value in words.items():
            setattr(stage.words, name, value)
        await stage.later(EVERY, 0)


async def test_a_refusal_is_said_once_and_tried_again_a_minute_later(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, tries = stage.bench.stores.summary, list[float]()

    async def refuse(text: str, limit: float) -> None:
        tries.append(stage.bench.clock.now)
        raise Refused(403, "forbidden")

    monkeypatch.setattr(store, "write", refuse)
    stage.summaries._store = store
    for seconds in (0.0, EVERY / 2, EVERY / 2, EVERY):
        await stage.later(seconds, 0)
    assert len(tries) == 3
    assert stage.bench.output.getvalue().count("was not written") == 1
