"""A full volume: the lease goes to who has more, after an ordinary shutdown; else the primary stays."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.decide.views import NOW, holding, leader_view, lease, peer, primary, status, stopped

from pgherd.decide import decide, space
from pgherd.model.actions import Start, Stop, WriteLease
from pgherd.model.knowledge import WriteKind
from pgherd.model.lease import Candidate
from pgherd.model.position import Position
from pgherd.model.server import Server
from pgherd.model.synchronous import Standby, Synchronous
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


def test_it_goes_to_who_has_room_and_not_to_the_first_that_has_none() -> None:
    both = (Candidate("m0", "i0"), Candidate("m2", "i2"))
    mine = lease(leader="m1", address="10.0.0.1", candidates=both)
    others = (peer("m0", status("m0", free=0, **STREAMS)), peer("m2", status("m2", free=space.ROOM, **STREAMS)))
    down = stopped(free=FULL, clean=True, was_primary=True)
    found = leader_view(knowledge=holding(mine), server=down, peers=others, stopped_since=NOW)
    [write] = decide(found, NOW).actions
    assert isinstance(write, WriteLease) and write.record.handover is not None and write.record.handover.to == "m2"


@pytest.mark.parametrize(("since", "code"), [(4.9, "volume-full"), (5.0, "restart-in-place")])
def test_who_has_room_and_not_everything_is_waited_for_a_moment(since: float, code: str) -> None:
    down = stopped(free=FULL, clean=True, was_primary=True, position=Position(2, 9000))
    sync = Synchronous("on", Standby("m1", "i1"), (Standby("m0", "i0"),), 1)
    mine = lease(leader="m1", address="10.0.0.1", candidates=(Candidate("m2", "i2"),), sync=sync)
    known = msgspec.structs.replace(holding(mine), held_from=NOW - 900)
    other = (peer("m2", status("m2", free=space.ROOM, **STREAMS)),)
    decision = decide(leader_view(knowledge=known, server=down, peers=other, stopped_since=NOW - since), NOW)
    assert decision.reason.code == code
    assert not any(each.kind is WriteKind.RELEASE for each in decision.actions if isinstance(each, WriteLease))


def test_after_a_crash_nobody_is_waited_for() -> None:
    """The last bytes of an unclean end are on this volume alone: who streamed has them, or never will."""
    dead = stopped(free=FULL, clean=False, was_primary=True, position=Position(2, 9000))
    sync = Synchronous("on", Standby("m1", "i1"), (Standby("m0", "i0"),), 1)
    mine = lease(leader="m1", address="10.0.0.1", candidates=(Candidate("m2", "i2"),), sync=sync)
    known = msgspec.structs.replace(holding(mine), held_from=NOW - 900)
    other = (peer("m2", status("m2", free=space.ROOM, **STREAMS)),)
    found = leader_view(knowledge=known, server=dead, peers=other, stopped_since=NOW - 0.1)
    assert decide(found, NOW).reason.code == "restart-in-place"


def test_dead_of_it_with_nobody_better_it_starts_again() -> None:
    decision = decide(crowded(stopped(free=FULL, was_primary=True), 0), NOW)
    assert any(isinstance(action, Start) for action in decision.actions)
