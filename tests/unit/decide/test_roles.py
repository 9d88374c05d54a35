"""What a holder, a replica and a member that is told to stop do next."""

from __future__ import annotations

import pytest
from tests.unit.decide.views import (
    NOW,
    SYSTEM,
    holding,
    leader_view,
    lease,
    observing,
    peer,
    primary,
    standby,
    status,
    stopped,
    view,
)

from pgherd.decide import decide
from pgherd.model.actions import Clone, Exit, Follow, Kill, Promote, Rewind, SetInitialize, Start, Stop, WriteLease
from pgherd.model.knowledge import WriteKind
from pgherd.model.position import Ancestor, Position
from pgherd.model.server import Data, Health, Process, Server
from pgherd.model.view import Failure, Task, TaskKind

MINE = lease(leader="m1", address="10.0.0.1", candidates=())


def kinds(actions: tuple[object, ...]) -> set[type]:
    return {type(action) for action in actions}


@pytest.mark.parametrize(
    ("changes", "code", "action"),
    [
        ({"knowledge": holding(lease(address=None))}, "publish", WriteLease),
        ({"knowledge": holding(MINE, NOW - 3.1), "health": Health(NOW - 0.2, True)}, "primary", WriteLease),
        ({"server": primary(position=Position(7, 9000))}, "wrong-timeline", Kill),
        ({"server": primary(process=Process.CRASHED, primary=False)}, "crashed", Kill),
        ({"server": standby(streaming=False)}, "promote", Promote),
        ({"server": stopped(was_primary=True)}, "restart-in-place", Start),
        ({"initialize": None}, "primary", SetInitialize),
        ({"knowledge": holding(MINE, NOW - 9.5)}, "lease-ending", Kill),
        ({"knowledge": observing(lease())}, "primary-without-lease", Kill),
    ],
)
def test_a_holder(changes: dict[str, object], code: str, action: type) -> None:
    decision = decide(leader_view(**changes), NOW)
    assert decision.reason.code == code and action in kinds(decision.actions)


def test_a_primary_that_cannot_prove_that_it_works_is_not_renewed() -> None:
    found = leader_view(knowledge=holding(MINE, NOW - 3.1), health=Health(NOW - 0.5, False, "no answer"))
    decision = decide(found, NOW)
    assert decision.reason.code == "unhealthy" and WriteLease not in kinds(decision.actions)


def test_a_promotion_under_way_is_not_published() -> None:
    found = leader_view(server=primary(promoting=True), knowledge=holding(lease(address=None)))
    assert decide(found, NOW).reason.code == "promote"


def test_a_recovering_postmaster_is_waited_for_within_its_bound() -> None:
    recovering = primary(process=Process.STARTING, primary=False)
    assert decide(leader_view(server=recovering, restless_since=NOW - 100), NOW).reason.code == "starting"
    late = decide(leader_view(server=recovering, restless_since=NOW - 301), NOW)
    assert late.reason.code == "start-timeout" and Kill in kinds(late.actions)


def test_failures_of_an_earlier_tenure_are_no_reason_to_give_up() -> None:
    old = tuple(Failure(TaskKind.START, None, 2, NOW - 500, "disk full") for _ in range(3))
    found = leader_view(server=stopped(was_primary=True), failures=old, stopped_since=NOW - 900)
    assert decide(found, NOW).reason.code == "restart-in-place"


DIVERGED = stopped(position=Position(1, 9000))
FORKED = (peer("m0", status("m0", history=(Ancestor(1, 4000),))), peer("m2", status("m2")))
REWOUND = (Failure(TaskKind.REWIND, "m0", 2, NOW - 5, "no"),)


@pytest.mark.parametrize(
    ("changes", "code", "action"),
    [
        ({}, "replica", None),
        ({"server": Server()}, "clone", Clone),
        ({"server": stopped()}, "start", Start),
        ({"server": standby(following="m2")}, "follow", Follow),
        ({"server": DIVERGED, "peers": FORKED}, "rewind", Rewind),
        ({"server": DIVERGED, "peers": FORKED, "failures": REWOUND}, "clone", Clone),
        ({"server": stopped(end_known=False)}, "rewind", Rewind),
        ({"server": stopped(position=None)}, "measuring", None),
        ({"server": Server(data=Data.HALF_REWOUND)}, "clone", Clone),
        ({"server": Server(data=Data.BROKEN)}, "data-broken", None),
        ({"server": standby(streaming=False), "stalled_since": NOW - 121}, "stopping-to-clone", Stop),
        ({"server": standby(system_identifier="other")}, "system-identifier", None),
        ({"peers": (peer("m0", status("m0", position=Position(1, 10))),)}, "waiting-for-leader", None),
        ({"server": stopped(), "failures": (Failure(TaskKind.START, "m0", 2, NOW, "no"),)}, "start-failed", None),
    ],
)
def test_a_replica(changes: dict[str, object], code: str, action: type | None) -> None:
    decision = decide(view(**changes), NOW)
    assert decision.reason.code == code
    assert action is None or action in kinds(decision.actions)


def test_initialising_without_the_lease_is_stopped() -> None:
    found = view(server=Server(), task=Task(TaskKind.INITIALISE, NOW - 1))
    assert decide(found, NOW).actions == (Kill(),)


def leaving(**changes: object) -> tuple[str, tuple[object, ...]]:
    decision = decide(leader_view(**{"terminating": True, **changes}), NOW)
    return decision.reason.code, decision.actions


def test_leaving_stops_hands_over_and_ends() -> None:
    named = lease(leader="m1", address="10.0.0.1")
    code, actions = leaving()
    assert code == "leaving" and Stop in kinds(actions)
    _, actions = leaving(server=stopped(clean=True), knowledge=holding(named))
    assert [a.kind for a in actions if isinstance(a, WriteLease)] == [WriteKind.HANDOVER]
    ahead = stopped(clean=True, position=Position(2, 9000))
    _, actions = leaving(server=ahead, knowledge=holding(named), stopped_since=NOW - 6)
    assert [a.kind for a in actions if isinstance(a, WriteLease)] == [WriteKind.RELEASE]
    code, actions = leaving(server=stopped(), knowledge=observing(lease(released=5)))
    assert (code, actions) == ("left", (Exit(),))


def test_a_holder_of_a_cluster_that_had_data_never_initialises() -> None:
    found = leader_view(initialize=None, server=Server())
    decision = decide(found, NOW)
    assert decision.reason.code == "data-lost" and [getattr(a, "kind", None) for a in decision.actions] == [
        WriteKind.RELEASE
    ]


def test_identity_is_kept() -> None:
    decision = decide(leader_view(initialize=None), NOW)
    assert SetInitialize(None, SYSTEM) in decision.actions
