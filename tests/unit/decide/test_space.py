"""A full volume: the lease goes to who has more, after an ordinary shutdown; else the primary stays."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.decide.views import NOW, holding, leader_view, lease, peer, primary, status, stopped

from pgherd.decide import decide, space
from pgherd.model.actions import Start, Stop, WriteLease
from pgherd.model.knowledge import WriteKind
from pgherd.model.lease import Candidate
from pgherd.model.server import Server
from pgherd.model.view import Task, TaskKind

FULL = space.LEAST - 1
STREAMS: dict[str, Any] = {"streaming_from": "m1", "receiver_timeline": 2}


def crowded(server: Server, free: int | None, **changes: Any) -> Any:
    """m1 holds with a volume like `server`; m2 is a candidate with `free` bytes."""
    mine = lease(leader="m1", address="10.0.0.1", candidates=(Candidate("m2", "i2"),))
    other = peer("m2", status("m2", free=free, **STREAMS))
    return leader_view(knowledge=holding(mine), server=server, peers=(other,), **changes)


def test_a_full_primary_stops_for_a_candidate_with_room() -> None:
    decision = decide(crowded(primary(free=FULL), space.ROOM), NOW)
    assert decision.reason.code == "volume-full"
    assert [type(action) for action in decision.actions][:1] == [Stop]


@pytest.mark.parametrize("free", [None, 0, space.ROOM - 1])
def test_a_full_primary_stays_where_nobody_has_more(free: int | None) -> None:
    view = crowded(primary(free=FULL), free)
    decision = decide(view, view.knowledge.held.t0 + view.configuration.loop_wait)  # type: ignore[union-attr]
    assert decision.reason.code == "volume-full"
    assert not any(isinstance(action, Stop) for action in decision.actions)


@pytest.mark.parametrize("free", [None, space.LEAST, 10 * space.ROOM])
def test_a_primary_with_space_is_left_alone(free: int | None) -> None:
    assert decide(crowded(primary(free=free), space.ROOM), NOW).reason.code == "primary"


def test_while_it_stops_the_lease_is_renewed() -> None:
    view = crowded(primary(free=FULL), space.ROOM, task=Task(TaskKind.STOP, NOW - 1))
    decision = decide(view, NOW - 1 + view.configuration.loop_wait)
    assert [action.kind for action in decision.actions if isinstance(action, WriteLease)] == [WriteKind.RENEW]


@pytest.mark.parametrize("clean", [True, False])
def test_stopped_or_dead_of_it_the_lease_is_handed_over(clean: bool) -> None:
    view = crowded(stopped(free=FULL, clean=clean, was_primary=True), space.ROOM)
    [write] = decide(view, NOW).actions
    assert isinstance(write, WriteLease) and write.kind is WriteKind.HANDOVER
    assert write.record.handover is not None and write.record.handover.to == "m2"


def test_dead_of_it_with_nobody_better_it_starts_again() -> None:
    decision = decide(crowded(stopped(free=FULL, was_primary=True), 0), NOW)
    assert any(isinstance(action, Start) for action in decision.actions)
