"""A planned change of the leader, step by step as its holder sees it (ha-protocol §5), and what is answered."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.decide.test_holding import kinds, writes
from tests.unit.decide.views import NOW, holding, leader_view, lease, observing, peer, primary, status, stopped, view

from pgherd.decide import decide, switchover
from pgherd.decide.handing import CATCH_UP
from pgherd.model.actions import AnswerRequest, Decision, Kill, PollPeers, Start, Stop, WriteLease
from pgherd.model.knowledge import WriteKind
from pgherd.model.lease import Handover
from pgherd.model.position import Position
from pgherd.model.request import Asked, Parameters, Request, Stage, Verb
from pgherd.model.server import Process
from pgherd.model.view import Task, TaskKind, View

NAMED = lease(leader="m1", address="10.0.0.1")
STREAMS = {"streaming_from": "m1", "receiver_timeline": 2, "replayed": 5000}
FIT = peer("m2", status("m2", **STREAMS))


def asked(state: Stage = Stage.RUNNING, since: float = NOW - 1, **changes: Any) -> Asked:
    request = Request("r", Verb.SWITCHOVER, "m2", state=state, epoch=5 if state is Stage.RUNNING else 0)
    expired = changes.pop("expired", False)
    return Asked(msgspec.structs.replace(request, **changes), since, begun=since, expired=expired)


def holder(request: Asked, **changes: Any) -> View:
    """m1 leads, m2 streams from it."""
    given = {"knowledge": holding(NAMED), "peers": (FIT,), "requests": (request,), **changes}
    return leader_view(**given)


def answered(decision: Decision) -> Request | None:
    return next((each.request for each in decision.actions if isinstance(each, AnswerRequest)), None)


# Begun, or refused


def test_it_runs_before_anything_stops() -> None:
    decision = decide(holder(asked(Stage.PENDING)), NOW)
    said = answered(decision)
    assert said is not None and (said.state, said.epoch, said.result) == (Stage.RUNNING, 5, {"from": "m1"})
    assert decision.reason.code == "primary" and Stop not in kinds(decision)


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (asked(Stage.PENDING, member="m1"), "member='m1': it is the leader already"),
        (asked(Stage.PENDING, member="m9"), "member='m9': must be one of m0, m1, m2"),
        (asked(Stage.PENDING, leader="m0"), "leader='m0': m1 leads"),
        (asked(Stage.PENDING, expired=True), "expired"),
        (asked(Stage.PENDING, since=NOW - switchover.WAIT - 1, member="m0"), "member='m0': it cannot take over"),
    ],
)
def test_what_cannot_work_is_refused_with_field_and_value(request_: Asked, text: str) -> None:
    decision = decide(holder(request_), NOW)
    said = answered(decision)
    assert said is not None and said.state is Stage.REFUSED and text in said.reason
    assert Stop not in kinds(decision)


@pytest.mark.parametrize("wanted", ["m0", None])
def test_who_can_take_over_is_waited_for_a_little(wanted: str | None) -> None:
    late = peer("m2", status("m2", terminating=True, **STREAMS))
    decision = decide(holder(asked(Stage.PENDING, member=wanted), peers=(late,)), NOW)
    assert answered(decision) is None


def test_one_at_a_time() -> None:
    other = Asked(Request("other", Verb.SWITCHOVER, "m2"), NOW)
    decision = decide(holder(asked(), requests=(asked(), other)), NOW)
    assert answered(decision) is None and Stop in kinds(decision)


# The gate


def test_a_fit_target_and_postgresql_stops_while_the_lease_is_kept() -> None:
    decision = decide(holder(asked(), knowledge=holding(NAMED, NOW - 3.5)), NOW)
    assert Stop(60, checkpoint=True) in decision.actions and WriteKind.RENEW in writes(decision)
    assert decision.reason.code == "switchover"


@pytest.mark.parametrize(
    "words",
    [
        None,
        status("m2", terminating=True, **STREAMS),
        status("m2", incarnation="other", **STREAMS),
        status("m2", **{**STREAMS, "replayed": 5000 - switchover.REPLAY - 1}),
    ],
    ids=["silent", "terminating", "other data", "much to replay"],
)
def test_nothing_stops_for_a_target_that_is_not_fit_and_then_it_fails(words: Any) -> None:
    early = decide(holder(asked(), peers=(peer("m2", words),)), NOW)
    assert early.reason.code == "switchover-waits" and answered(early) is None and Stop not in kinds(early)
    late = decide(holder(asked(since=NOW - switchover.GATE - 1), peers=(peer("m2", words),)), NOW)
    said = answered(late)
    assert said is not None and said.state is Stage.FAILED and Stop not in kinds(late)


def test_a_request_of_an_earlier_epoch_stops_nothing() -> None:
    decision = decide(holder(asked(epoch=4)), NOW)
    assert Stop not in kinds(decision)


# Stopping: only what hangs is killed, and only once the target has everything

STOPPING = primary(process=Process.STOPPING)


@pytest.mark.parametrize(
    ("end", "received", "killed"), [(None, 6000, False), (6000, 5999, False), (6000, 6000, True), (6000, 6001, True)]
)
def test_a_shutdown_that_hangs_is_cut_short_once_the_target_has_its_end(
    end: int | None, received: int, killed: bool
) -> None:
    server = msgspec.structs.replace(STOPPING, shut_down=end)
    target = peer("m2", status("m2", position=Position(2, received)))
    found = holder(asked(), server=server, task=Task(TaskKind.STOP, NOW - 1), peers=(target,))
    decision = decide(msgspec.structs.replace(found, knowledge=holding(NAMED, NOW - 3.5)), NOW)
    assert (Kill in kinds(decision)) is killed
    assert WriteKind.RENEW in writes(decision) and PollPeers(urgent=True) in decision.actions
    kept = writes(decision)[WriteKind.RENEW].candidates
    assert kept == NAMED.candidates  # who streams while it stops says nothing


# Named once it has everything

DEAD = stopped(clean=True, was_primary=True)


def test_the_target_is_named_with_the_end_of_the_wal() -> None:
    decision = decide(holder(asked(), server=DEAD, stopped_since=NOW), NOW)
    [write] = [each for each in decision.actions if isinstance(each, WriteLease)]
    assert (write.kind, write.record.handover) == (WriteKind.HANDOVER, Handover("m2", "i2", 5, 5000))


def test_what_the_target_lacks_is_waited_for_and_then_the_leader_goes_on() -> None:
    """Named before it has everything it could never take."""
    server = stopped(clean=True, was_primary=True, position=Position(2, 5001))
    mine = msgspec.structs.replace(holding(NAMED, NOW - 3.5))
    early = decide(holder(asked(), server=server, knowledge=mine, stopped_since=NOW - CATCH_UP + 0.1), NOW)
    assert early.reason.code == "handing-over" and set(writes(early)) == {WriteKind.RENEW}
    late = decide(holder(asked(), server=server, stopped_since=NOW - CATCH_UP), NOW)
    said = answered(late)
    assert said is not None and said.state is Stage.FAILED
    assert Start(writable=True) in late.actions and late.reason.code == "restart-in-place"


# Named and not taken, and how it is told

GIVEN = msgspec.structs.replace(NAMED, handover=Handover("m2", "i2", 5, 5000), address=None)
MINE = msgspec.structs.replace(
    GIVEN, holder=msgspec.structs.replace(NAMED.holder, uid="u1") if NAMED.holder else None
)  # fmt: skip


def giver(first_seen: float, **changes: Any) -> View:
    """m1 gave the lease to m2 and has nothing running."""
    given = {"knowledge": observing(MINE, first_seen), "server": DEAD, "peers": (FIT,), "armed": False, **changes}
    return view(**given)


def test_what_nobody_took_is_taken_back_with_a_new_epoch() -> None:
    early = decide(giver(NOW - 4.9), NOW)
    assert not writes(early)
    late = decide(giver(NOW - 5), NOW)
    record = writes(late)[WriteKind.TAKE]
    assert late.reason.code == "handover-untaken"
    assert (record.leader, record.epoch, record.handover) == ("m1", 6, None)


@pytest.mark.parametrize(
    "changes",
    [{"server": primary()}, {"uid": "another"}, {"server": msgspec.structs.replace(DEAD, process=Process.CRASHED)}],
    ids=["it still runs", "another pod of this name", "not known to be dead"],
)
def test_only_who_gave_it_and_is_dead_takes_it_back(changes: dict[str, Any]) -> None:
    assert not writes(decide(giver(NOW - 6, **changes), NOW))


@pytest.mark.parametrize(
    ("result", "member", "stage"),
    [
        ({"from": "m0"}, "m1", Stage.DONE),
        ({"from": "m0"}, None, Stage.DONE),
        ({"from": "m0"}, "m2", Stage.FAILED),
        ({"from": "m1"}, "m2", Stage.FAILED),
    ],
    ids=["the named one leads", "somebody leads", "another one leads", "taken back"],
)
def test_whoever_leads_afterwards_says_how_it_ended(
    result: dict[str, str], member: str | None, stage: Stage
) -> None:  # fmt: skip
    said = answered(decide(holder(asked(epoch=4, result=result, member=member)), NOW))
    assert said is not None and said.state is stage and said.result["to"] == "m1"


# Forced: the member that is named executes it


def forced(state: Stage = Stage.RUNNING, **parameters: Any) -> Asked:
    return asked(state, verb=Verb.FAILOVER, member="m1", parameters=Parameters(**parameters), since=NOW - 2)


SILENT = peer("m0", None)
BEHIND = lease(optime=10_000_000)


@pytest.mark.parametrize(("accept", "taken"), [(False, False), (True, True)])
def test_loss_is_accepted_only_in_words(accept: bool, taken: bool) -> None:
    found = view(
        knowledge=observing(BEHIND, NOW - 20), peers=(SILENT, peer("m2", status("m2"))),
        requests=(forced(accept_loss=accept),),
    )  # fmt: skip
    assert (WriteKind.TAKE in writes(decide(found, NOW))) is taken


def test_a_forced_failover_runs_before_the_lease_is_taken() -> None:
    found = view(
        knowledge=observing(BEHIND, NOW - 20), peers=(SILENT, peer("m2", status("m2"))),
        requests=(forced(Stage.PENDING, accept_loss=True),),
    )  # fmt: skip
    decision = decide(found, NOW)
    said = answered(decision)
    assert said is not None and (said.state, said.epoch) == (Stage.RUNNING, 5) and not writes(decision)


def test_a_persons_word_opens_the_lease_early_and_a_holder_that_answers_refutes_it() -> None:
    dead = view(peers=(SILENT, peer("m2", status("m2"))), requests=(forced(leader_is_dead=True),))
    assert WriteKind.TAKE in writes(decide(dead, NOW))
    for words in (status("m0"), status("m0", role="replica", holds_until=3.0)):
        alive = view(peers=(peer("m0", words), peer("m2", status("m2"))), requests=(forced(leader_is_dead=True),))
        decision = decide(alive, NOW)
        said = answered(decision)
        assert not writes(decision) and said is not None and said.state is Stage.REFUSED
    without = view(peers=(SILENT, peer("m2", status("m2"))), requests=(forced(),))
    assert not writes(decide(without, NOW))
