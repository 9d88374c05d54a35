"""Mode on (S3): who may be elected, what a taker writes and proves before it promotes, each step of a primary."""

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
    pod,
    primary,
    standby,
    status,
    stopped,
    view,
)

from pgherd.decide import decide, synchronous
from pgherd.model.actions import CutOff, Decision, Promote, Prove, Require, WriteLease
from pgherd.model.knowledge import Attempt, WriteKind
from pgherd.model.lease import Handover, Lease, from_annotations, to_annotations
from pgherd.model.member import Death
from pgherd.model.position import Position
from pgherd.model.server import Health
from pgherd.model.settings import Configuration, InvalidSetting, read_configuration
from pgherd.model.synchronous import ALONE, WAIT, Enforced, Rule, Sender, Standby, Synchronous
from pgherd.model.view import View

M0, M1, M2 = Standby("m0", "i0"), Standby("m1", "i1"), Standby("m2", "i2")


def on(primary: Standby, *members: Standby) -> Synchronous:
    return Synchronous("on", primary, members, len(members))


def every(*standbys: Standby) -> Rule:
    return Rule(standbys, len(standbys))


def proof(flushed: int, *standbys: Standby) -> Enforced:
    return Enforced(every(*standbys), flushed)


SET = on(M0, M1)
ON = Configuration(synchronous_mode=True)
QUORUM = Configuration(synchronous_mode="quorum")
STRICT = Configuration(synchronous_mode="on", synchronous_mode_strict=True)


def writes(decision: Decision) -> list[Lease]:
    return [action.record for action in decision.actions if isinstance(action, WriteLease)]


def required(decision: Decision) -> list[Rule]:
    return [action.rule for action in decision.actions if isinstance(action, Require)]


# Elections


@pytest.mark.parametrize(
    ("sync", "who", "given", "allowed"),
    [
        (None, M2, None, True),
        (SET, M1, None, True),
        (SET, M0, None, True),
        (SET, M2, None, False),
        (SET, Standby("m1", "cloned since"), None, False),
        (SET, Standby("m0", "restored"), None, False),
        (SET, M2, Handover("m2", "i2", 5, 5000), True),
        (SET, M2, Handover("m2", "i2", 5, 5001), False),
        (SET, M2, Handover("m2", "i2", 5, 0), False),
        (SET, M2, Handover("m2", "i2", 4, 5000), False),
        (SET, M2, Handover("m2", "i9", 5, 5000), False),
        (SET, M2, Handover("m1", "i1", 5, 5000), False),
    ],
)
def test_only_who_has_every_acknowledged_commit_may_be_elected(
    sync: Synchronous | None, who: Standby, given: Handover | None, allowed: bool
) -> None:
    assert (synchronous.barred(lease(sync=sync, handover=given), who, Position(2, 5000)) is None) is allowed


EXPIRED = NOW - 100


def electing(sync: Synchronous | None, **changes: Any) -> View:
    """m1 sees an expired lease, and everybody else has said that he is a replica or nothing."""
    record = lease(sync=sync, **changes)
    return view(knowledge=observing(record, EXPIRED), peers=(peer("m0", None), peer("m2", status("m2"))))


def test_a_member_outside_the_set_says_whom_it_waits_for() -> None:
    decision = decide(electing(on(M0, M2)), NOW)
    assert not writes(decision) and decision.reason.code == "not-eligible" and "m0, m2" in decision.reason.text


def test_the_taker_keeps_the_set_without_itself_and_loses_nothing() -> None:
    """Its lag is of no account either: what it lacks was not acknowledged."""
    far = on(M0, M1, M2)
    decision = decide(electing(far, optime=5000 + 2**30), NOW)
    [record] = writes(decision)
    [write] = [action for action in decision.actions if isinstance(action, WriteLease)]
    assert record.leader == "m1" and record.sync == on(M1, M2) and write.at_risk == 0


def test_a_member_outside_the_set_is_not_waited_for_though_it_has_more() -> None:
    ahead = peer("m2", status("m2", position=Position(2, 9000)))
    found = msgspec.structs.replace(electing(SET), peers=(peer("m0", None), ahead))
    assert writes(decide(found, NOW))


@pytest.mark.parametrize(("sync", "at_once"), [(SET, True), (None, False), (on(M0, M2), False)])
def test_a_proved_death_is_not_waited_out_where_nothing_acknowledged_is_lost(
    sync: Synchronous | None, at_once: bool
) -> None:
    found = view(
        knowledge=observing(lease(sync=sync)), death_seen=NOW - 0.1, peers=(peer("m2", status("m2")),),
        pods=(pod("m0", (Death("u0", "c0"),)), pod("m1"), pod("m2")),
    )  # fmt: skip
    assert bool(writes(decide(found, NOW))) is at_once


# Promotion


@pytest.mark.parametrize(
    ("configuration", "sync", "proved", "promotes", "asks"),
    [
        (ON, on(M1, M2), None, False, every(M2)),
        (ON, on(M1, M2), WAIT, False, every(M2)),
        (ON, on(M1, M2), every(M2), True, every(M2)),
        (ON, on(M1, M2), every(M0, M2), True, every(M2)),
        (ON, on(M1), None, True, ALONE),
        (STRICT, on(M1), None, False, WAIT),
        (STRICT, on(M1), WAIT, True, WAIT),
        (QUORUM, Synchronous("quorum", M1, (M0, M2), 1), None, False, Rule((M0, M2), 1)),
        (QUORUM, Synchronous("quorum", M1, (M0, M2), 1), Rule((M0, M2), 1), True, Rule((M0, M2), 1)),
        (QUORUM, Synchronous("quorum", M1, (M0, M2), 1), every(M0), True, Rule((M0, M2), 1)),
    ],
)
def test_the_own_setting_holds_the_inherited_set_before_the_promotion(
    configuration: Configuration,
    sync: Synchronous,
    proved: Rule | None,
    promotes: bool,
    asks: Rule,
) -> None:
    record = lease(leader="m1", address=None, candidates=(), sync=sync)
    found = leader_view(
        knowledge=holding(record), server=standby(), configuration=configuration,
        enforced=None if proved is None else Enforced(proved, 0),
    )  # fmt: skip
    decision = decide(found, NOW)
    assert any(isinstance(action, Promote) for action in decision.actions) is promotes
    assert required(decision) == [asks] and (promotes or decision.reason.code == "enforcing")


# The primary's steps. m1 leads; m0 and m2 stream from it.


STREAMS = {"role": "replica", "streaming_from": "m1", "receiver_timeline": 2}
WORDS = {"m0": status("m0", **STREAMS), "m2": status("m2", **STREAMS)}
ALL = (Sender("m0", 5000), Sender("m2", 5000))


def leading(members: tuple[Standby, ...] | None, **changes: Any) -> View:
    sync = None if members is None else on(M1, *members)
    words = {**WORDS, **changes.pop("words", {})}
    base = {
        "knowledge": holding(lease(leader="m1", address="10.0.0.1", candidates=(), sync=sync)), "configuration": ON,
        "server": primary(senders=changes.pop("senders", ALL)),
        "peers": tuple(peer(name, said) for name, said in words.items()),
    }  # fmt: skip
    return leader_view(**{**base, **changes})


def members(found: View) -> tuple[tuple[Standby, ...] | None, tuple[Standby, ...] | None]:
    """(the set that the lease should have, the setting that is ordered)."""
    record = found.knowledge.record
    assert record is not None
    plan = synchronous.plan(found, record, NOW)
    assert plan.sync is None or plan.sync.votes == len(plan.sync.members)
    return (None if plan.sync is None else plan.sync.members), None if plan.require is None else plan.require.standbys


TWO = Configuration(synchronous_mode=True, synchronous_node_count=2)
CASCADE = {"tags": {"m0": {"replicatefrom": "m2"}}}
ONLY_M2 = {"senders": (Sender("m2", 5000),), "unsent_since": {"m0": NOW - 2}}
NONE = {"senders": (), "unsent_since": {"m0": NOW - 2, "m2": NOW - 2}}
AGAIN = {"words": {"m0": status("m0", **STREAMS, incarnation="new")}}
UNANSWERED = (Attempt("w", NOW, 10, WriteKind.RENEW, 5, "7"),)


@pytest.mark.parametrize(
    ("before", "changes", "after"),
    [
        pytest.param(None, {"configuration": Configuration()}, (None, ()), id="off"),
        pytest.param(None, {}, ((), (M0,)), id="off to on: nobody is in, the setting tightens"),
        pytest.param((), {}, ((), (M0,)), id="on: the setting first"),
        pytest.param((), {"enforced": proof(5001, M0)}, ((), (M0,)), id="proved, but it lacks what was before"),
        pytest.param((), {"enforced": proof(5000, M0)}, ((M0,), (M0,)), id="proved, and it has everything"),
        pytest.param((M0,), {}, ((M0,), (M0,)), id="settled"),
        pytest.param((M0,), {"configuration": Configuration()}, (None, None), id="on to off: the lease first"),
        pytest.param((M0,), ONLY_M2, ((), None), id="lost: it leaves the lease first"),
        pytest.param((), ONLY_M2, ((), (M2,)), id="then another one is named by the setting"),
        pytest.param((M0,), NONE, ((), None), id="all lost: the lease first"),
        pytest.param((), NONE, ((), ()), id="then the primary is alone"),
        pytest.param((), {**NONE, "configuration": STRICT}, ((), WAIT.standbys), id="strict: commits wait"),
        pytest.param((M0,), {**NONE, "configuration": STRICT}, ((M0,), (M0,)), id="strict: the set stays"),
        pytest.param(
            (M0,), {"senders": (Sender("m2", 5000),), "unsent_since": {"m0": NOW - 0.5}}, ((M0,), (M0,)),
            id="lost a moment ago: it may come back",
        ),
        pytest.param((M0,), {"configuration": TWO}, ((M0,), (M0, M2)), id="one more: the setting first"),
        pytest.param(
            (M0,), {"configuration": TWO, "enforced": proof(5000, M0, M2)}, ((M0, M2), (M0, M2)),
            id="one more: then the lease",
        ),
        pytest.param((M0, M2), {}, ((M0,), None), id="one less: the lease first"),
        pytest.param((M0,), AGAIN, ((), (Standby("m0", "new"),)), id="cloned since: it is not who it was"),
        pytest.param(
            (), {**AGAIN, "enforced": proof(0, M0), "configuration": TWO}, ((), (Standby("m0", "new"), M2)),
            id="a proof for its old data is none for the new",
        ),
        pytest.param(
            (M0,), {"words": {"m2": status("m2", **STREAMS, tags={"sync_priority": "2"})}}, ((M0,), (M0, M2)),
            id="to be replaced: both until the better one is in",
        ),
        pytest.param(
            (M0, M2), {"words": {"m2": status("m2", **STREAMS, tags={"sync_priority": "2"})}}, ((M2,), None),
            id="replaced: the lease first",
        ),
        pytest.param(
            (M0,), {"words": {"m0": status("m0", **STREAMS, tags={"nosync": "true"})}}, ((), None), id="nosync leaves"
        ),
        pytest.param(
            (), {"words": {"m0": status("m0", **STREAMS, terminating=True)}}, ((), (M2,)), id="who leaves stays out"
        ),
        pytest.param(
            (), {"senders": (Sender("m0", 3000), Sender("m2", 5000)),
                 "configuration": Configuration(synchronous_mode=True, maximum_lag_on_syncnode=1000)}, ((), (M2,)),
            id="too far behind",
        ),
        pytest.param((), {"words": {"m0": None}}, ((), (M2,)), id="who says nothing does not enter"),
        pytest.param((), CASCADE, ((), (M2,)), id="who is about to stream from another standby comes last"),
        pytest.param((M0,), CASCADE, ((M0,), (M0, M2)), id="and is replaced"),
        pytest.param((), {**CASCADE, "configuration": TWO}, ((), (M0, M2)), id="but is taken where there are too few"),
        pytest.param((M0,), {"words": {"m0": None}}, ((M0,), (M0,)), id="who says nothing and streams stays"),
    ],
)  # fmt: skip
def test_one_step_after_the_other(before: Any, changes: dict[str, Any], after: Any) -> None:
    assert members(leading(before, **changes)) == after


@pytest.mark.parametrize("writing", [True, False])
def test_while_a_write_may_succeed_the_setting_stays(writing: bool) -> None:
    """The members of that write may be electable already: letting go of them would lose what is acknowledged then."""
    known = leading(()).knowledge
    unanswered = () if writing else UNANSWERED
    found = leading((), **NONE, writing=writing, knowledge=msgspec.structs.replace(known, unanswered=unanswered))
    assert members(found) == ((), None)


def test_the_mode_goes_off_only_when_its_end_was_read() -> None:
    """Beside a missing configuration an agent that started anew goes by the defaults, in which no commit waits."""
    off = leading((M0,), configuration=Configuration())
    assert members(off) == (None, None)
    assert members(msgspec.structs.replace(off, configuration_read=False)) == ((M0,), None)


def test_a_change_is_written_at_once_with_a_proof_of_health() -> None:
    fresh = leading((M0,), **NONE)
    [record] = writes(decide(fresh, NOW))
    assert record.sync == on(M1)
    stale = msgspec.structs.replace(fresh, health=Health(NOW - 50, True))
    decision = decide(stale, NOW)
    assert Prove() in decision.actions and not writes(decision)


@pytest.mark.parametrize(
    ("proved", "senders", "text"),
    [
        (None, (), ""), (ALONE, (), ""), (every(M0), ALL, ""), (every(M0, M2), (Sender("m2", 1),), "m0"),
        (Rule((M0, M2), 1), (Sender("m2", 1),), ""), (Rule((M0, M2), 1), (), "m0, m2"),
        (WAIT, ALL, "any standby to be synchronous (synchronous_mode_strict)"),
    ],
)  # fmt: skip
def test_commits_that_wait_are_told(proved: Rule | None, senders: tuple[Sender, ...], text: str) -> None:
    found = leading((), senders=senders, enforced=None if proved is None else Enforced(proved, 0))
    reason = decide(found, NOW).reason
    assert synchronous.waited_for(found) == text
    assert (reason.code == "commits-wait" and text in reason.text) if text else reason.code == "primary"


# Quorum: m1 leads, any one (or two) of the others must have a commit.


def quorum(members: tuple[Standby, ...], votes: int, count: int = 1, **changes: Any) -> View:
    """The steps of a primary in this mode."""
    found = leading((), **changes)
    record = found.knowledge.record
    assert record is not None
    value = Synchronous("quorum", M1, members, votes) if members else on(M1)
    known = msgspec.structs.replace(found.knowledge, record=msgspec.structs.replace(record, sync=value))
    configuration = changes.get("configuration", Configuration(synchronous_mode="quorum", synchronous_node_count=count))
    return msgspec.structs.replace(found, knowledge=known, configuration=configuration)


ANY1, ANY2 = Rule((M0, M2), 1), Rule((M0, M2), 2)
LATE = {"words": {"m2": status("m2", **STREAMS, position=Position(2, 4000))}}


@pytest.mark.parametrize(
    ("found", "lease_says", "setting"),
    [
        pytest.param(quorum((), 0), ((), 0), ANY1, id="from nobody: the setting first"),
        pytest.param(quorum((), 0, enforced=Enforced(ANY1, 5001)), ((), 0), ANY1, id="nobody has what was before"),
        pytest.param(
            quorum((), 0, enforced=Enforced(ANY1, 5000), **LATE), ((M0, M2), 1), ANY1, id="one has it: one vote is sure"
        ),
        pytest.param(quorum((M0, M2), 1), ((M0, M2), 1), ANY1, id="settled"),
        pytest.param(quorum((M0,), 1), ((M0, M2), 1), None, id="one more voter: the lease first, harder to elect"),
        pytest.param(quorum((M0, M2), 1, **ONLY_M2), ((M0, M2), 1), every(M2), id="a voter is lost: the setting first"),
        pytest.param(
            quorum((M0, M2), 1, enforced=proof(5000, M2), **ONLY_M2), ((M2,), 1), every(M2), id="then the lease"
        ),
        pytest.param(quorum((M0, M2), 1, count=2), ((M0, M2), 1), ANY2, id="more votes: the setting first"),
        pytest.param(
            quorum((M0, M2), 1, count=2, enforced=Enforced(ANY2, 5000)), ((M0, M2), 2), ANY2, id="then the lease"
        ),
        pytest.param(
            quorum((M0, M2), 1, count=2, enforced=Enforced(ANY2, 5000), **LATE), ((M0, M2), 1), ANY2,
            id="but not before both have what was before",
        ),
        pytest.param(quorum((M0, M2), 2), ((M0, M2), 1), None, id="fewer votes: the lease first"),
        pytest.param(quorum((M0, M2), 1, configuration=ON), ((M0, M2), 1), every(M0), id="to on: the setting first"),
        pytest.param(
            quorum((M0, M2), 1, configuration=ON, enforced=proof(5000, M0)), ((M0,), 1), every(M0), id="then the lease"
        ),
        pytest.param(quorum((M0, M2), 1, **NONE), ((), 0), None, id="all are lost: the lease first"),
        pytest.param(
            quorum((M0, M2), 1, **CASCADE), ((M0, M2), 1), every(M2), id="one will stream from the other: as if lost"
        ),
        pytest.param(quorum((M0, M2), 2, count=2, **CASCADE), ((M0, M2), 2), ANY2, id="but too few are left for that"),
    ],
)  # fmt: skip
def test_one_step_after_the_other_in_a_quorum(found: View, lease_says: Any, setting: Rule | None) -> None:
    assert found.knowledge.record is not None
    plan = synchronous.plan(found, found.knowledge.record, NOW)
    assert plan.sync is not None
    assert (plan.sync.members, plan.sync.votes, plan.require) == (*lease_says, setting)


VOTERS = Synchronous("quorum", M0, (M1, M2, Standby("m3", "i3")), 2)
"""Of three voters two have any acknowledged commit: two must be heard."""


def voting(cut_off: str = "n", **words: Any) -> View:
    """m1 sees an expired lease with the nonce n; what m2 and m3 say."""
    said = {"m2": {}, "m3": None, **words}
    peers = tuple(peer(name, None if each is None else status(name, **each)) for name, each in said.items())
    found = electing(VOTERS, candidates=())
    record = lease(sync=VOTERS, candidates=found.knowledge.record.candidates if found.knowledge.record else ())
    return msgspec.structs.replace(
        found, peers=(peer("m0", None), *peers), cut_off=cut_off,
        knowledge=observing(msgspec.structs.replace(record, candidates=lease().candidates), EXPIRED),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("found", "code"),
    [
        pytest.param(voting(cut_off=""), "cutting-off", id="not cut off itself"),
        pytest.param(voting(cut_off="older"), "cutting-off", id="cut off from an earlier lease"),
        pytest.param(
            voting(cut_off="", m2={"role": "primary"}), "primary-answers", id="no vote while somebody runs as primary"
        ),
        pytest.param(voting(cut_off="", m2={"holds_until": 3.0}), "holder-answers", id="no vote while one holds"),
        pytest.param(voting(), "counting-votes", id="the other is not cut off"),
        pytest.param(voting(m2={"cut_off": "older"}), "counting-votes", id="the other's is of an earlier lease"),
        pytest.param(voting(m2={"cut_off": "n"}), "lease-expired", id="both are"),
        pytest.param(
            voting(m2={"cut_off": "n", "position": Position(2, 5001)}), "counting-votes", id="the other is ahead"
        ),
        pytest.param(
            voting(m2={"cut_off": "n", "incarnation": "new"}), "counting-votes", id="the other is not who it was"
        ),
        pytest.param(
            voting(m2={"cut_off": "n", "position": Position(2, 5001)}, m3={"cut_off": "n"}), "yielding",
            id="a third one is not ahead: what the first has more was not acknowledged, and it goes first",
        ),
    ],
)  # fmt: skip
def test_a_voter_takes_only_with_enough_votes(found: View, code: str) -> None:
    decision = decide(found, NOW)
    assert decision.reason.code == code, decision.reason
    assert bool(writes(decision)) is (code == "lease-expired")
    assert [action.nonce for action in decision.actions if isinstance(action, CutOff)] == (
        ["n"] if code == "cutting-off" else []
    )


def test_a_standby_that_gave_its_vote_does_not_follow_under_that_lease() -> None:
    leads = status("m0", position=Position(2, 6000))
    peers = (peer("m0", leads), peer("m2", status("m2")))
    found = view(peers=peers, server=standby(following=None, streaming=False), barred_nonce="n")
    assert decide(found, NOW).reason.code == "cut-off"
    assert decide(msgspec.structs.replace(found, barred_nonce="older"), NOW).reason.code == "follow"


# The end of a primary, and of a standby


def test_a_postgres_that_died_hands_over_to_the_set() -> None:
    record = lease(leader="m1", address="10.0.0.1", sync=on(M1, M2))
    record = msgspec.structs.replace(record, candidates=leading_candidates())
    found = leader_view(knowledge=holding(record), server=stopped(was_primary=True))
    decision = decide(found, NOW)
    [written] = writes(decision)
    assert decision.reason.code == "crashed-handover"
    assert written.handover == Handover("m2", "i2", 5, 0)


def leading_candidates() -> Any:
    return lease(candidates=lease().candidates).candidates[1:]


@pytest.mark.parametrize(
    ("clean", "theirs", "target"), [(True, 5000, "m2"), (False, 5000, None), (True, 4999, None)]
)  # fmt: skip
def test_a_clean_shutdown_may_be_handed_to_whoever_has_all_of_it(clean: bool, theirs: int, target: str | None) -> None:
    record = lease(
        leader="m1", address="10.0.0.1", sync=on(M1, M0), candidates=leading_candidates()
    )  # fmt: skip
    found = leader_view(
        knowledge=holding(record), server=stopped(was_primary=True, clean=clean), terminating=True,
        told_to_stop=NOW - 9, stopped_since=NOW - 9,
        peers=(peer("m0", None), peer("m2", status("m2", position=Position(2, theirs)))),
    )  # fmt: skip
    [written] = writes(decide(found, NOW))
    assert (written.handover.to if written.handover else None) == target
    assert written.sync == record.sync


@pytest.mark.parametrize(("sync", "told", "waits"), [(SET, NOW - 1, True), (SET, NOW - 20, False), (None, NOW, False)])
def test_a_synchronous_standby_leaves_the_set_before_it_stops(
    sync: Synchronous | None, told: float, waits: bool
) -> None:
    found = view(knowledge=observing(lease(sync=sync)), terminating=True, told_to_stop=told)
    assert (decide(found, NOW).reason.code == "leaving-set") is waits


def test_a_standby_has_a_setting_that_lets_nothing_pass_from_its_start() -> None:
    leads = status("m0", position=Position(2, 6000))
    peers = (peer("m0", leads), peer("m2", status("m2")))
    for changes, wanted in (({"configuration": ON}, WAIT), ({}, ALONE)):
        assert required(decide(view(peers=peers, **changes), NOW)) == [wanted]
    assert required(decide(view(peers=peers, knowledge=observing(lease(sync=SET))), NOW)) == [WAIT]


# Texts


def test_the_set_survives_the_annotation() -> None:
    record = lease(sync=on(M0, M1, M2))
    texts = {name: text for name, text in to_annotations(record).items() if text is not None}
    assert from_annotations(texts, record.address) == record
    assert to_annotations(lease())["sync"] is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"synchronous_mode": "maybe"}', "synchronous_mode='maybe': must be on, off or quorum"),
        ('{"synchronous_node_count": 0}', "synchronous_node_count=0: must be at least 1"),
        ('{"maximum_lag_on_syncnode": -2}', "maximum_lag_on_syncnode=-2: must be at least -1"),
        ('{"synchronous_mode_strict": "yes"}', "synchronous_mode_strict"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(text: str, complaint: str) -> None:
    with pytest.raises(InvalidSetting, match=complaint):
        read_configuration(text)


@pytest.mark.parametrize(("text", "on"), [("true", True), ('"on"', True), ("false", False), ('"off"', False)])
def test_the_mode_is_written_as_patroni_takes_it(text: str, on: bool) -> None:
    assert read_configuration(f'{{"synchronous_mode": {text}}}').synchronous is on
