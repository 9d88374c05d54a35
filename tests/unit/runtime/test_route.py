"""The route in the API becomes what decisions want, by compare-and-swap, whatever happens to it meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from tests.unit.runtime.stand_ins import Bench, running

from pgherd.kubernetes.memory import MemoryRoute
from pgherd.kubernetes.store import Conflict, RouteSeen, Unanswered
from pgherd.model.knowledge import Attempt, Knowledge, WriteKind
from pgherd.model.lease import Holder, Lease
from pgherd.model.route import Route
from pgherd.runtime import route as routes
from pgherd.runtime.route import Routing

HOLDER = Holder("uid-0", "c", "n", 1, 1)


class Slow(MemoryRoute):
    """An API that loses what it is asked, as often as a test wants."""

    lost = 0
    asked = 0

    async def write(self, route: Route | None, version: str, limit: float) -> RouteSeen:
        self.asked += 1
        if self.lost > 0:
            self.lost -= 1
            raise Unanswered("no answer")
        return await super().write(route, version, limit)


class Stage(Bench):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.store = Slow(self.memory)
        self.routing = Routing(self.state, self.store, self.log)

    @property
    def own(self) -> str:
        return self.state.identity.address

    def there(self) -> tuple[str, ...]:
        return self.memory.route.value.addresses

    def put(self, *addresses: str) -> None:
        self.memory.route.put(RouteSeen(self.memory.next_version(), addresses))

    def decide(self, published: bool = True) -> None:
        now = self.clock.now
        record = Lease(leader="demo-0", epoch=1, ttl=10, holder=HOLDER, address=self.own if published else None)
        held = Attempt("n", now, 10, WriteKind.RENEW, 1, "6")
        self.state.knowledge = Knowledge(record=record, held=held, held_from=now)
        self.routing.decided(self.state.view(now + 9, now), now)


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    monkeypatch.setattr(routes, "RETRY", 0.0)
    made = Stage(tmp_path)
    async with running(made.routing.watch(), made.routing.run()):
        yield made


async def settled(stage: Stage, addresses: tuple[str, ...]) -> None:
    """As the agent: a decision after each news."""
    async with asyncio.timeout(5):
        while stage.there() != addresses:
            stage.decide()
            await asyncio.sleep(0)


async def test_the_published_leaders_route_is_written_once(stage: Stage) -> None:
    stage.put("10.0.0.9")
    await settled(stage, (stage.own,))
    for _ in range(20):
        stage.decide()
        await asyncio.sleep(0)
    assert stage.store.asked == 1
    assert f"clients are sent to {stage.own}" in stage.output.getvalue()


async def test_before_it_is_published_nothing_is_written(stage: Stage) -> None:
    stage.put("10.0.0.9")
    for _ in range(20):
        stage.decide(published=False)
        await asyncio.sleep(0)
    assert stage.store.asked == 0 and stage.there() == ("10.0.0.9",)


async def test_lost_writes_are_repeated_and_said(stage: Stage) -> None:
    stage.store.lost = 3
    await settled(stage, (stage.own,))
    assert stage.output.getvalue().count("the route was not changed: no answer") == 1


async def test_what_somebody_makes_of_it_is_mended(stage: Stage) -> None:
    await settled(stage, (stage.own,))
    stage.put("10.0.0.7", stage.own)
    await settled(stage, (stage.own,))
    stage.put()
    await settled(stage, (stage.own,))


async def test_a_late_write_of_a_former_leader_is_a_conflict_and_what_it_finds_is_left(stage: Stage) -> None:
    await settled(stage, (stage.own,))
    old = stage.memory.route.value
    stage.put("10.0.0.9")  # the next leader's
    with pytest.raises(Conflict):
        await stage.store.write(Route(stage.own), old.version, 1.0)
    stage.state.knowledge = Knowledge(record=msgspec.structs.replace(Lease("demo-1", 2, 10), holder=HOLDER))
    asked = stage.store.asked
    for _ in range(20):
        stage.routing.decided(stage.state.view(0.0, stage.clock.now), stage.clock.now)
        await asyncio.sleep(0)
    assert stage.there() == ("10.0.0.9",) and stage.store.asked == asked


async def test_on_late_news_it_is_read_before_it_is_written_again(stage: Stage) -> None:
    await settled(stage, (stage.own,))
    newest = stage.memory.route.value
    stage.routing._saw(RouteSeen("0", ("10.0.0.9",)))  # the watch is behind
    for _ in range(20):
        stage.decide()
        await asyncio.sleep(0)
    assert stage.memory.route.value == newest
