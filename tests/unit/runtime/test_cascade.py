"""What tags change beside decisions: the slots that a standby keeps, and the role that the pod's label shows."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from tests.unit.decide.views import standby
from tests.unit.runtime.stand_ins import Bench, FakePostgres, reached

from pgherd.model.actions import KeepCascade
from pgherd.runtime.cascade import AGAIN, Cascade
from pgherd.runtime.state import State
from pgherd.runtime.status import Status
from pgherd.runtime.upkeep import Role


async def test_slots_are_kept_when_they_change_and_looked_at_again_now_and_then(tmp_path: Path) -> None:
    bench, server = Bench(tmp_path), FakePostgres()
    cascade = Cascade(server, bench.clock, bench.log)
    running = asyncio.create_task(cascade.run())
    cascade.order(KeepCascade(("demo_1",)))
    await reached(lambda: server.calls == ["cascade ('demo_1',)"])
    await asyncio.sleep(0)
    cascade.order(KeepCascade(("demo_1",)))
    await asyncio.sleep(0)
    assert len(server.calls) == 1
    cascade.order(KeepCascade(()))
    await reached(lambda: server.calls[-1] == "cascade ()")
    bench.clock.now += AGAIN + 1
    cascade.order(KeepCascade(()))
    await reached(lambda: len(server.calls) == 3)
    running.cancel()


async def test_a_failure_is_told_and_tried_again_later(tmp_path: Path) -> None:
    bench, server = Bench(tmp_path), FakePostgres()
    server.fails = OSError("the server is starting")
    cascade = Cascade(server, bench.clock, bench.log)
    running = asyncio.create_task(cascade.run())
    cascade.order(KeepCascade(("demo_1",)))
    await reached(lambda: "the server is starting" in bench.output.getvalue())
    server.fails = None
    bench.clock.now += AGAIN + 1
    cascade.order(KeepCascade(("demo_1",)))
    await reached(lambda: len(server.calls) == 2)
    running.cancel()


@pytest.mark.parametrize(
    ("tags", "label", "said"),
    [
        ({}, "replica", {}),
        ({"noloadbalance": True}, "noloadbalance", {"noloadbalance": "true"}),
        ({"noloadbalance": False, "zone": "a"}, "replica", {"zone": "a"}),
    ],
)
def test_a_standby_without_load_bears_another_role_and_says_its_tags(
    tags: dict[str, object], label: str, said: dict[str, str], tmp_path: Path
) -> None:  # fmt: skip
    bench = Bench(tmp_path)
    settings = msgspec.structs.replace(bench.settings, tags={"demo-0": tags, "demo-1": {"nosync": True}})
    state = State(settings, bench.identity, bench.container, bench.log)
    state.server = standby()
    assert Role(state, bench.stores, bench.clock, bench.log).wanted() == label
    status = Status(state, None, bench.clock)  # type: ignore[arg-type]
    assert status.member().tags == said
