"""What the holder does: publish, renew on proof, restart in place, promote, initialise, give up (S1, S2, S4, S7)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.decide.views import (
    NOW,
    SYSTEM,
    holding,
    leader_view,
    lease,
    peer,
    primary,
    standby,
    status,
    stopped,
)

from pgherd.decide import decide
from pgherd.model.actions import (
    Action,
    Decision,
    Initialise,
    KeepPrimary,
    Kill,
    Promote,
    Require,
    SetInitialize,
    Start,
    WriteLease,
)
from pgherd.model.knowledge import Attempt, Knowledge, WriteKind
from pgherd.model.lease import Candidate, Holder, Lease
from pgherd.model.position import Position
from pgherd.model.server import Data, Health, Process, Server
from pgherd.model.settings import Configuration, PostgresConfiguration
from pgherd.model.slots import SlotsSeen, SlotState
from pgherd.model.synchronous import ALONE
from pgherd.model.view import Failure, Task, TaskKind, View

MINE = lease(leader="m1", address="10.0.0.1", candidates=())
NAMED = lease(leader="m1", address="10.0.0.1")
STREAMS = {"streaming_from": "m1", "receiver_timeline": 2}


def writes(decision: Decision) -> dict[WriteKind, Lease]:
    return {each.kind: each.record for each in decision.actions if isinstance(each, WriteLease)}


def kinds(decision: Decision) -> set[type[Action]]:
    return {type(action) for action in decision.actions}


# Publish

TAKEN = Holder(uid="u1", container="c1", nonce="n", timeline=3, writable=2)
PROMOTED = holding(lease(address=None, holder=TAKEN, candidates=()))


def test_clients_are_sent_to_a_primary_once_it_is_writable_on_the_leases_timeline() -> None:
    decision = decide(leader_view(knowledge=PROMOTED, server=primary(position=Position(3, 7000))), NOW)
    record = writes(decision)[WriteKind.RENEW]
    assert decision.reason.code == "publish" and record.holder is not None
    assert (record.address, record.holder.writable, record.optime) == ("10.0.0.1", 3, 7000)


@pytest.mark.parametrize(
    "changes",
    [{"writing": True}, {"task": Task(TaskKind.PROMOTE, NOW - 1)}],
    ids=["a write is under way", "the promotion still proves that it is writable"],
)
def test_nothing_is_published_yet(changes: dict[str, Any]) -> None:
    found = leader_view(knowledge=PROMOTED, server=primary(position=Position(3, 7000)), **changes)
    assert not writes(decide(found, NOW))


def test_a_promotion_that_was_sent_is_not_published() -> None:
    promoting = primary(promoting=True, position=Position(2, 7000))
    found = leader_view(knowledge=PROMOTED, server=promoting, task=Task(TaskKind.PROMOTE, NOW - 1))
    decision = decide(found, NOW)
    assert decision.reason.code == "promoting" and not writes(decision)


def test_a_primary_is_looked_after() -> None:
    assert [each for each in decide(leader_view(), NOW).actions if isinstance(each, KeepPrimary)] == [KeepPrimary()]


# Renew: only with proof (S4)


@pytest.mark.parametrize(
    ("age", "health", "renewed", "code"),
    [
        (2.9, Health(NOW, True), False, "primary"),
        (3.0, Health(NOW, True), True, "primary"),
        (3.0, Health(NOW - 3.0, True), True, "primary"),
        (3.0, Health(NOW - 3.1, True), False, "primary"),
        (3.0, None, False, "primary"),
        (3.0, Health(NOW, False, "no answer"), False, "unhealthy"),
        (3.0, Health(NOW - 3.1, False, "an old word"), False, "primary"),
    ],
)
def test_a_renewal_needs_a_proof_that_began_after_the_last_one(
    age: float, health: Health | None, renewed: bool, code: str
) -> None:
    decision = decide(leader_view(knowledge=holding(MINE, NOW - age), health=health), NOW)
    assert decision.reason.code == code and (WriteKind.RENEW in writes(decision)) is renewed


def test_a_renewal_under_way_is_not_sent_again() -> None:
    assert not writes(decide(leader_view(knowledge=holding(MINE, NOW - 5), writing=True), NOW))


def test_a_renewal_carries_what_the_holder_keeps_up_to_date() -> None:
    found = leader_view(
        knowledge=holding(MINE, NOW - 3), server=primary(position=Position(2, 8000)),
        slots=SlotsSeen(primary=True, states={"m2": SlotState("physical", "kept", 7000)}),
        slots_present={"m0": NOW - 5000, "m2": NOW}, configuration=Configuration(ttl=20),
        peers=(peer("m2", status("m2", **STREAMS)),),
    )  # fmt: skip
    record = writes(decide(found, NOW))[WriteKind.RENEW]
    assert record.retain_slots == ("m2",)
    assert (record.optime, record.ttl, dict(record.slots)) == (8000, 20, {"m2": 7000})
    assert record.candidates == (Candidate("m2", "i2"),)


@pytest.mark.parametrize(("age", "written"), [(0.4, False), (0.5, True)])
def test_a_new_candidate_is_recorded_without_waiting_for_the_next_renewal(age: float, written: bool) -> None:
    words = (peer("m2", status("m2", **STREAMS)),)
    found = leader_view(knowledge=holding(MINE, NOW - age), peers=words)
    assert (WriteKind.RENEW in writes(decide(found, NOW))) is written


@pytest.mark.parametrize(
    ("words", "counts"),
    [
        ({}, True),
        ({"streaming_from": "m0"}, False),
        ({"receiver_timeline": 1}, False),
        ({"position": Position(2, 5000 - 1048577)}, False),
        ({"position": None}, False),
        ({"incarnation": None}, False),
        ({"terminating": True}, False),
    ],
)
def test_who_is_a_candidate(words: dict[str, Any], counts: bool) -> None:
    """S8: only who streams from this holder on its timeline, within lag, and stays."""
    said = status("m2", **{**STREAMS, **words})
    found = leader_view(knowledge=holding(MINE, NOW - 3), peers=(peer("m2", said),))
    record = writes(decide(found, NOW))[WriteKind.RENEW]
    assert record.candidates == ((Candidate("m2", said.incarnation or ""),) if counts else ())


@pytest.mark.parametrize(("silent", "kept"), [(1.0, True), (5.9, True), (6.0, False)])
def test_a_silent_candidate_is_kept_for_two_rounds(silent: float, kept: bool) -> None:
    quiet = msgspec.structs.replace(peer("m2", None), first_missing=NOW - silent)
    found = leader_view(knowledge=holding(NAMED, NOW - 3), peers=(quiet,))
    assert writes(decide(found, NOW))[WriteKind.RENEW].candidates == ((Candidate("m2", "i2"),) if kept else ())


def test_a_silent_candidate_of_an_unpublished_holder_is_not_kept() -> None:
    """What it has may be of a line that was left (S8): a standby leader that was rewound, or a failover."""
    quiet = msgspec.structs.replace(peer("m2", None), first_missing=NOW - 1)
    found = leader_view(knowledge=holding(msgspec.structs.replace(NAMED, address=None), NOW - 3), peers=(quiet,))
    write = writes(decide(found, NOW))[WriteKind.RENEW]
    assert write.address is not None and write.candidates == ()


# Give up


REFUSED = (Failure(TaskKind.PROMOTE, None, 2, NOW, "no"),)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"server": primary(position=Position(3, 9000))}, "wrong-timeline"),
        ({"server": primary(system_identifier="other")}, "system-identifier"),
        ({"server": standby(streaming=False), "failures": REFUSED}, "promote-failed"),
        ({"server": standby(process=Process.STOPPING), "restless_since": NOW - 301}, "start-timeout"),
    ],
)  # fmt: skip
def test_postgresql_is_dead_before_the_lease_is_given_up(changes: dict[str, Any], code: str) -> None:
    """S1: the killing pass first, and no write beside it."""
    decision = decide(leader_view(**changes), NOW)
    assert (decision.reason.code, decision.actions) == (code, (Kill(),))
    beside = decide(leader_view(task=Task(TaskKind.KILL, NOW), **changes), NOW)
    assert not writes(beside)


def gives_up(**changes: Any) -> View:
    """Stopped, and the restart failed three times."""
    failed = tuple(Failure(TaskKind.START, None, 2, NOW - age, "no space") for age in (0.5, 0.4, 0.3))
    down = stopped(was_primary=True, position=Position(2, 6000))
    others = (peer("m2", status("m2", **STREAMS)),)
    return leader_view(**{"server": down, "failures": failed, "knowledge": holding(NAMED), "peers": others, **changes})


def test_the_lease_goes_to_the_best_candidate_that_answers() -> None:
    others = (peer("m0", status("m0", role="replica")), peer("m2", status("m2", position=Position(2, 5500))))
    named = lease(candidates=(Candidate("m0", "i0"), Candidate("m2", "i2")), address="10.0.0.1")
    decision = decide(gives_up(peers=others, knowledge=holding(named)), NOW)
    assert decision.reason.code == "restart-failed" and "no space" in decision.reason.text
    record = writes(decision)[WriteKind.HANDOVER]
    assert record.handover is not None and record.address is None and record.released is None
    assert (record.handover.to, record.handover.incarnation, record.handover.epoch) == ("m2", "i2", 5)


@pytest.mark.parametrize(("clean", "lsn"), [(True, 6000), (False, 0)])
def test_only_a_clean_shutdown_says_what_the_target_must_have(clean: bool, lsn: int) -> None:
    down = stopped(was_primary=True, position=Position(2, 6000), clean=clean)
    record = writes(decide(gives_up(server=down), NOW))[WriteKind.HANDOVER]
    assert record.handover is not None and record.handover.lsn == lsn


@pytest.mark.parametrize(
    "words",
    [None, status("m2", terminating=True), status("m2", incarnation="emptied since"), status("m2", position=None)],
    ids=["silent", "terminating", "other data", "no position"],
)
def test_without_a_candidate_it_is_released(words: Any) -> None:
    record = writes(decide(gives_up(peers=(peer("m2", words),)), NOW))[WriteKind.RELEASE]
    assert record.free and record.handover is None and record.address is None


@pytest.mark.parametrize("changes", [{"writing": True}, {"task": Task(TaskKind.KILL, NOW)}])
def test_nothing_is_given_up_while_something_is_under_way(changes: dict[str, Any]) -> None:
    assert not writes(decide(leader_view(server=Server(process=Process.STOPPED), **changes), NOW))


def test_a_holder_whose_volume_is_empty_gives_the_lease_to_another() -> None:
    decision = decide(leader_view(server=Server(), knowledge=holding(NAMED)), NOW)
    assert decision.reason.code == "data-lost" and WriteKind.HANDOVER in writes(decision)


# PostgreSQL died


def test_a_crash_is_followed_by_the_killing_pass_while_the_lease_is_kept() -> None:
    crashed = primary(process=Process.CRASHED, primary=False)
    decision = decide(leader_view(server=crashed, knowledge=holding(MINE, NOW - 3.5)), NOW)
    assert decision.reason.code == "crashed" and Kill() in decision.actions and WriteKind.RENEW in writes(decision)


DOWN = stopped(was_primary=True)


@pytest.mark.parametrize(
    ("changes", "code", "action"),
    [
        ({"server": DOWN}, "restart-in-place", Start(writable=True)),
        ({"server": DOWN, "armed": False}, "unarmed", None),
        ({"server": stopped(was_primary=True, position=None)}, "measuring", None),
        ({"server": stopped()}, "start-to-promote", Start(writable=False)),
        ({"server": stopped(was_primary=True, position=Position(1, 9))}, "start-to-promote", Start(writable=False)),
        ({"server": standby()}, "promote", (Require(ALONE), Promote(2))),
        ({"server": standby(), "armed": False}, "unarmed", None),
    ],
)
def test_nothing_becomes_writable_before_the_fence_is_armed(
    changes: dict[str, Any], code: str, action: Action | tuple[Action, ...] | None
) -> None:
    """S4; and a standby's data are promoted, never started writable (S2)."""
    decision = decide(leader_view(**changes), NOW)
    actions = action if isinstance(action, tuple) else () if action is None else (action,)
    assert decision.reason.code == code and decision.actions == actions


def test_a_restart_has_primary_start_timeout_since_the_death() -> None:
    long = Knowledge(
        record=MINE, version="7", first_seen=NOW - 1, held_from=NOW - 900,
        held=Attempt("n", NOW - 1, 10, WriteKind.RENEW, 5, "6"), highest_epoch=5,
    )  # fmt: skip
    within = leader_view(server=DOWN, stopped_since=NOW - 299, knowledge=long)
    assert decide(within, NOW).reason.code == "restart-in-place"
    decision = decide(msgspec.structs.replace(within, stopped_since=NOW - 301), NOW)
    assert decision.reason.code == "restart-failed" and WriteKind.RELEASE in writes(decision)


def test_without_time_for_a_restart_a_candidate_is_preferred() -> None:
    at_once = Configuration(primary_start_timeout=0)
    there = (peer("m2", status("m2")),)
    found = leader_view(server=DOWN, knowledge=holding(NAMED), configuration=at_once, peers=there, stopped_since=NOW)
    assert decide(found, NOW).reason.code == "restart-failed"
    long = msgspec.structs.replace(found.knowledge, held_from=NOW - 900)
    alone = msgspec.structs.replace(found, peers=(), knowledge=long)
    for dead, code in ((NOW, "restart-in-place"), (NOW - 299, "restart-in-place"), (NOW - 301, "restart-failed")):
        assert decide(msgspec.structs.replace(alone, stopped_since=dead), NOW).reason.code == code


@pytest.mark.parametrize(("somebody", "code"), [(True, "start-timeout"), (False, "starting")])
def test_without_time_for_a_start_it_goes_on_where_nobody_can_take_over(somebody: bool, code: str) -> None:
    at_once = Configuration(primary_start_timeout=0)
    found = leader_view(
        server=primary(process=Process.STARTING, primary=False), knowledge=holding(NAMED), configuration=at_once,
        peers=(peer("m2", status("m2")),) if somebody else (), restless_since=NOW - 5,
    )  # fmt: skip
    assert decide(found, NOW).reason.code == code


@pytest.mark.parametrize("process", [Process.STARTING, Process.STOPPING])
def test_a_living_postmaster_is_waited_for_and_the_lease_kept(process: Process) -> None:
    server = primary(process=process, primary=False)
    found = leader_view(server=server, restless_since=NOW - 299, knowledge=holding(MINE, NOW - 3.5))
    decision = decide(found, NOW)
    assert decision.reason.code == process.value and WriteKind.RENEW in writes(decision)


@pytest.mark.parametrize(
    ("kind", "bound"), [(TaskKind.START, 310.0), (TaskKind.STOP, 90.0), (TaskKind.KILL, 310.0), (TaskKind.PROMOTE, 310)]
)
def test_a_task_counts_as_life_within_its_bound(kind: TaskKind, bound: float) -> None:
    for age, renewed in ((bound - 1, True), (bound + 1, False)):
        busy = leader_view(server=stopped(), task=Task(kind, NOW - age), knowledge=holding(MINE, NOW - 3.5))
        decision = decide(busy, NOW)
        assert decision.reason.code == kind.value and (WriteKind.RENEW in writes(decision)) is renewed


@pytest.mark.parametrize(("age", "renews"), [(309, True), (340, True), (371, False)])
def test_a_promotion_has_its_hooks_time_besides(age: float, renews: bool) -> None:
    hook = Configuration(hook_timeout=60, postgresql=PostgresConfiguration(pre_promote="/bin/true"))
    found = leader_view(
        server=standby(), task=Task(TaskKind.PROMOTE, NOW - age), knowledge=holding(MINE, NOW - 3.5), configuration=hook
    )
    assert bool(writes(decide(found, NOW))) is renews


# A new cluster (S7)

NEW = Holder(uid="u1", container="c1", nonce="n", timeline=1, writable=0)


def founding(**changes: Any) -> View:
    knowledge = holding(lease(epoch=1, address=None, holder=NEW, candidates=(), optime=0), NOW - 1)
    return leader_view(**{"knowledge": knowledge, "server": Server(), "initialize": None, **changes})


MADE = stopped(was_primary=True, position=Position(1, 9))
FAILED = (Failure(TaskKind.INITIALISE, None, 1, NOW, "no space"),)


@pytest.mark.parametrize(
    ("changes", "code", "action"),
    [
        ({}, "bootstrap", SetInitialize(None, "bootstrapping:1")),
        ({"initialize": "bootstrapping:0"}, "bootstrap", SetInitialize("bootstrapping:0", "bootstrapping:1")),
        ({"initialize": "bootstrapping:1"}, "bootstrap", Initialise()),
        (
            {"initialize": "bootstrapping:1", "server": stopped(was_primary=True)},
            "identify",
            SetInitialize("bootstrapping:1", SYSTEM),
        ),
        ({"server": MADE}, "restart-in-place", SetInitialize(None, SYSTEM)),
        ({"server": MADE, "initialize": SYSTEM}, "restart-in-place", Start(True)),
        ({"server": stopped(position=Position(0, 9)), "initialize": SYSTEM}, "start-to-promote", Start(False)),
    ],
)  # fmt: skip
def test_a_new_cluster_step_by_step(changes: dict[str, Any], code: str, action: Action) -> None:
    decision = decide(founding(**changes), NOW)
    assert decision.reason.code == code and action in decision.actions


def test_initialising_renews_the_lease_and_is_not_ordered_twice() -> None:
    running = founding(
        initialize="bootstrapping:1", task=Task(TaskKind.INITIALISE, NOW - 2),
        knowledge=holding(lease(epoch=1, holder=NEW), NOW - 3),
    )  # fmt: skip
    decision = decide(running, NOW)
    assert WriteKind.RENEW in writes(decision) and Initialise not in kinds(decision)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"initialize": "bootstrapping:1", "failures": FAILED}, "initialise-failed"),
        ({"server": Server(data=Data.BROKEN)}, "data-broken"),
        ({"server": Server(data=Data.HALF_REWOUND), "initialize": "bootstrapping:1"}, "data-lost"),
        ({"knowledge": holding(NAMED), "initialize": None}, "data-lost"),
        ({"knowledge": holding(NAMED), "initialize": "bootstrapping:5"}, "data-lost"),
    ],
)
def test_what_is_not_initialised(changes: dict[str, Any], code: str) -> None:
    """S7: not over data, not again after a failure, and never once the lease says that it was writable."""
    decision = decide(founding(**changes), NOW)
    assert decision.reason.code == code and Initialise not in kinds(decision)
    assert not any(isinstance(action, SetInitialize) for action in decision.actions)


def test_a_lost_identity_is_recorded_again_from_the_data_while_everything_goes_on() -> None:
    decision = decide(leader_view(initialize=None, knowledge=holding(MINE, NOW - 3)), NOW)
    assert decision.reason.code == "primary" and WriteKind.RENEW in writes(decision)
    assert SetInitialize(None, SYSTEM) in decision.actions


@pytest.mark.parametrize("made", [stopped(was_primary=True, position=Position(3, 9)), stopped(position=Position(1, 9))])
def test_data_that_a_program_made_are_promoted_under_a_lease_for_a_later_timeline(made: Server) -> None:
    """Nobody else can take it meanwhile: nobody else has data of this cluster (S2, S7)."""
    decision = decide(founding(server=made, initialize=SYSTEM), NOW)
    assert decision.reason.code == "bootstrap-promotes" and list(writes(decision)) == [WriteKind.RELEASE]
