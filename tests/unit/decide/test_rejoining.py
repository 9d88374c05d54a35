"""How a member becomes a replica again, rung by rung (S5), and how it leaves (§5)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.decide.views import (
    NOW,
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
from pgherd.decide.handing import CATCH_UP
from pgherd.decide.leaving import STOP
from pgherd.model.actions import Action, Clone, Decision, Exit, Follow, Kill, PollPeers, Rewind, Start, Stop, WriteLease
from pgherd.model.knowledge import Knowledge, WriteKind
from pgherd.model.lease import Handover, Lease
from pgherd.model.position import Ancestor, Position
from pgherd.model.server import Data, Process, Server
from pgherd.model.settings import Configuration, PostgresConfiguration
from pgherd.model.view import Failure, Task, TaskKind

FORKED = (peer("m0", status("m0", history=(Ancestor(1, 4000),))), peer("m2", status("m2")))
"""m0 left timeline 1 at 4000."""
WENT_ON = stopped(position=Position(1, 4001))
NO_REWIND = Configuration(postgresql=PostgresConfiguration(use_pg_rewind=False))
KEPT = Configuration(allow_data_loss_reclone=False)


def failure(kind: TaskKind, age: float = 0.0, target: str = "m0", timeline: int = 2) -> Failure:
    return Failure(kind, target, timeline, NOW - age, "it failed")


def writes(actions: tuple[Action, ...]) -> dict[WriteKind, Lease]:
    return {each.kind: each.record for each in actions if isinstance(each, WriteLease)}


# What is compared (S5)


@pytest.mark.parametrize(
    ("position", "diverged"),
    [
        (Position(1, 4000), False),
        (Position(1, 4001), True),
        (Position(2, 9000), False),
        (Position(3, 100), True),
    ],
)
def test_own_wal_must_be_in_the_leaders_past(position: Position, diverged: bool) -> None:
    decision = decide(view(server=stopped(position=position), peers=FORKED), NOW)
    assert decision.reason.code == ("rewind" if diverged else "start")


def test_what_cannot_be_compared_is_not_followed() -> None:
    assert decide(view(server=stopped(end_known=False)), NOW).actions == (Rewind("m0"),)
    assert decide(view(server=stopped(position=None)), NOW).actions == ()


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (lease(address=None), status("m0")),
        (lease(), status("m0", role="replica")),
        (lease(), status("m0", position=None)),
        (lease(), status("m0", position=Position(1, 9000))),
        (lease(), status("m0", uid="of a former pod")),
        (lease(), None),
    ],
    ids=["not published", "not primary", "no position", "words from before its promotion", "former pod", "silent"],
)
def test_only_the_published_primarys_present_words_are_compared_with(record: Lease, words: Any) -> None:
    found = view(knowledge=observing(record), peers=(peer("m0", words),), server=WENT_ON)
    decision = decide(found, NOW)
    assert decision.reason.code == "waiting-for-leader"
    assert decision.actions == ((PollPeers(),) if record.address else ())


# The ladder


@pytest.mark.parametrize(
    ("changes", "code", "action"),
    [
        ({}, "rewind", Rewind("m0")),
        ({"configuration": NO_REWIND}, "clone", Clone("m0", replace=True)),
        ({"failures": (failure(TaskKind.REWIND),)}, "clone", Clone("m0", replace=True)),
        ({"failures": (failure(TaskKind.REWIND, timeline=1),)}, "rewind", Rewind("m0")),
        ({"failures": (failure(TaskKind.REWIND, target="m2"),)}, "rewind", Rewind("m0")),
        ({"failures": (failure(TaskKind.REWIND),), "configuration": KEPT}, "clone-not-allowed", None),
        ({"server": standby(position=Position(1, 4001))}, "diverged", Stop(60)),
        ({"server": Server(data=Data.HALF_REWOUND)}, "clone", Clone("m0", replace=True)),
        ({"server": Server(data=Data.HALF_REWOUND), "configuration": KEPT}, "clone-not-allowed", None),
        ({"server": Server()}, "clone", Clone("m0", replace=False)),
        ({"server": Server(), "configuration": KEPT}, "clone", Clone("m0", replace=False)),
    ],
)
def test_the_ladder(changes: dict[str, Any], code: str, action: Action | None) -> None:
    decision = decide(view(**{"server": WENT_ON, "peers": FORKED, **changes}), NOW)
    assert (decision.reason.code, decision.actions) == (code, () if action is None else (action,))


@pytest.mark.parametrize(("tries", "pause"), [(1, 2.0), (2, 4.0), (4, 16.0), (6, 60.0), (16, 60.0)])
def test_a_failed_clone_is_tried_again_after_a_growing_pause(tries: int, pause: float) -> None:
    failed = tuple(failure(TaskKind.CLONE) for _ in range(tries))
    found = view(server=Server(), failures=failed, knowledge=observing(lease(ttl=300)))
    before = decide(found, NOW + pause - 0.01)
    assert (before.reason.code, before.actions) == ("clone-failed", ()) and "it failed" in before.reason.text
    assert before.wake_at == NOW + pause
    assert decide(found, NOW + pause).actions == (Clone("m0"),)


def test_a_clone_that_failed_from_another_leader_is_no_reason_to_wait() -> None:
    failed = (failure(TaskKind.CLONE, target="m2"), failure(TaskKind.CLONE, timeline=1))
    assert decide(view(server=Server(), failures=failed), NOW).actions == (Clone("m0"),)


@pytest.mark.parametrize(("stalled", "code"), [(120.0, "not-streaming"), (120.1, "stopping-to-clone")])
def test_a_standby_that_gets_no_wal_is_cloned_in_the_end(stalled: float, code: str) -> None:
    found = view(server=standby(streaming=False), stalled_since=NOW - stalled)
    assert decide(found, NOW).reason.code == code
    down = view(server=stopped(), stalled_since=NOW - stalled)
    assert decide(down, NOW).reason.code == ("clone" if code == "stopping-to-clone" else "start")


def test_where_no_clone_is_allowed_it_goes_on_with_what_it_has() -> None:
    kept = {"configuration": Configuration(allow_data_loss_reclone=False), "stalled_since": NOW - 500}
    running = decide(view(server=standby(streaming=False), **kept), NOW)
    assert (running.reason.code, running.actions) == ("wal-gone", ())
    assert decide(view(server=standby(streaming=False, following=None), **kept), NOW).actions == (Follow("m0"),)
    assert decide(view(server=stopped(), **kept), NOW).actions == (Start(writable=False, source="m0"),)


@pytest.mark.parametrize(
    ("ages", "code"),
    [
        ((1.9,), "start-failed"),
        ((2.0,), "start"),
        ((9, 3.9), "start-failed"),
        ((9, 4.0), "start"),
        ((9, 8, 0), "clone"),
    ],
)
def test_a_start_is_tried_three_times_with_pauses(ages: tuple[float, ...], code: str) -> None:
    failed = tuple(failure(TaskKind.START, age) for age in ages)
    assert decide(view(server=stopped(), failures=failed), NOW).reason.code == code


def test_a_pause_counts_from_the_failure_that_it_is_for() -> None:
    """A clone or a start of another kind that failed later does not move it."""
    mixed = (failure(TaskKind.START, 5.0), failure(TaskKind.CLONE, 0.0))
    assert decide(view(server=stopped(), failures=mixed), NOW).reason.code == "start"


@pytest.mark.parametrize(
    ("server", "code"),
    [
        (standby(process=Process.STARTING), "starting"),
        (standby(process=Process.STOPPING), "starting"),
        (standby(streaming=False), "not-streaming"),
        (standby(following=None), "follow"),
    ],
)
def test_a_standby_on_its_way(server: Server, code: str) -> None:
    assert decide(view(server=server), NOW).reason.code == code


@pytest.mark.parametrize("known", [observing(lease(), NOW - 4), observing(lease(), NOW - 40)])
def test_a_shutdown_that_nobody_waits_for_gets_a_time_limit(known: Knowledge) -> None:
    """The agent that began it is dead; whether there is a leader meanwhile or not, it must not hang for ever."""
    abandoned = view(server=standby(process=Process.STOPPING), knowledge=known)
    assert Stop(abandoned.configuration.primary_stop_timeout) in decide(abandoned, NOW).actions
    waited_for = msgspec.structs.replace(abandoned, task=Task(TaskKind.STOP, NOW - 1))
    assert not any(isinstance(action, Stop) for action in decide(waited_for, NOW).actions)


@pytest.mark.parametrize("kind", [TaskKind.CLONE, TaskKind.REWIND, TaskKind.START, TaskKind.STOP])
def test_a_task_is_left_to_run(kind: TaskKind) -> None:
    decision = decide(view(server=stopped(), task=Task(kind, NOW - 1, "m0")), NOW)
    assert (decision.reason.code, decision.actions) == (kind.value, ())


def test_it_wakes_up_when_the_lease_may_be_taken() -> None:
    assert decide(view(knowledge=observing(lease(), NOW - 4)), NOW).wake_at == NOW + 6
    dying = view(knowledge=observing(lease(), NOW - 4), death_seen=NOW - 1)
    assert decide(dying, NOW).wake_at == NOW + 2


# Leaving


HASTY = Configuration(primary_stop_timeout=7)


def leaving(**changes: Any) -> Decision:
    """m1 is told to stop; the lease names m2 as a candidate, which has all of m1's WAL."""
    mine = lease(leader="m1", address="10.0.0.1")
    others = (peer("m2", status("m2")),)
    given = {"terminating": True, "knowledge": holding(mine), "peers": others, "server": stopped(clean=True)}
    return decide(leader_view(**{**given, **changes}), NOW)


@pytest.mark.parametrize(
    ("changes", "code", "actions"),
    [
        ({"server": primary(process=Process.CRASHED, primary=False)}, "leaving", (Kill(),)),
        ({"server": primary()}, "leaving", (Stop(STOP, checkpoint=True), PollPeers())),
        ({"server": primary(), "configuration": HASTY}, "leaving", (Stop(7, checkpoint=True), PollPeers())),
        ({"server": primary(), "task": Task(TaskKind.STOP, NOW)}, "leaving", (PollPeers(),)),
        ({"server": stopped(), "task": Task(TaskKind.KILL, NOW)}, "leaving", (PollPeers(),)),
        ({"task": Task(TaskKind.CLONE, NOW), "server": Server()}, "leaving", (Stop(STOP), PollPeers())),
        ({"knowledge": observing(lease())}, "left", (Exit(),)),
        ({"knowledge": Knowledge()}, "left", (Exit(),)),
        ({"writing": True}, "handing-over", ()),
    ],
)  # fmt: skip
def test_leaving(changes: dict[str, Any], code: str, actions: tuple[Action, ...]) -> None:
    decision = leaving(**changes)
    assert (decision.reason.code, decision.actions) == (code, actions)


def test_the_lease_is_renewed_while_postgresql_stops() -> None:
    late = leaving(server=primary(), knowledge=holding(lease(), NOW - 3))
    assert WriteKind.RENEW in writes(late.actions)


def test_a_clean_shutdown_is_handed_over_with_its_end() -> None:
    record = writes(leaving().actions)[WriteKind.HANDOVER]
    assert record.handover == Handover("m2", "i2", 5, 5000)


AHEAD = stopped(clean=True, position=Position(2, 5001))
UNMEASURED = stopped(clean=True, position=None)


@pytest.mark.parametrize("server", [AHEAD, UNMEASURED], ids=["behind", "own end not known yet"])
def test_a_target_that_may_lack_something_is_waited_for_and_then_not_named(server: Server) -> None:
    """Named before it has everything, it would take at once what it should wait for, or never take at all."""
    early = leaving(server=server, stopped_since=NOW - CATCH_UP + 0.1)
    assert (early.reason.code, early.actions) == ("handing-over", (PollPeers(urgent=True),))
    late = leaving(server=server, stopped_since=NOW - CATCH_UP)
    assert writes(late.actions)[WriteKind.RELEASE].free


@pytest.mark.parametrize("words", [None, status("m2", terminating=True), status("m2", incarnation="new")])
def test_without_a_candidate_the_lease_is_released(words: Any) -> None:
    decision = leaving(peers=(peer("m2", words),))
    record = writes(decision.actions)[WriteKind.RELEASE]
    assert record.free and record.address is None


def test_a_replica_leaves_without_a_word_on_the_lease() -> None:
    found = view(terminating=True)
    assert decide(found, NOW).actions == (Stop(STOP),)
    assert decide(msgspec.structs.replace(found, server=stopped()), NOW).actions == (Exit(),)


def test_nothing_is_started_for_a_member_that_leaves() -> None:
    ended = observing(lease(), NOW - 20)
    for server in (stopped(), Server(), standby()):
        actions = decide(view(terminating=True, knowledge=ended, server=server), NOW).actions
        assert not any(isinstance(action, Start | WriteLease | Clone) for action in actions)
