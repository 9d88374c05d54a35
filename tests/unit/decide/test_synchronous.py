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
from pgherd.model.actions import Decision, Promote, Prove, Require, WriteLease
from pgherd.model.knowledge import Attempt, WriteKind
from pgherd.model.lease import Handover, Lease, from_annotations, to_annotations
from pgherd.model.member import Death
from pgherd.model.position import Position
from pgherd.model.server import Health
from pgherd.model.settings import Configuration, InvalidSetting, read_configuration
from pgherd.model.synchronous import NOBODY, Enforced, Sender, Standby, Synchronous
from pgherd.model.view import View

M0, M1, M2 = Standby("m0", "i0"), Standby("m1", "i1"), Standby("m2", "i2")
SET = Synchronous("on", M0, (M1,))
ON = Configuration(synchronous_mode=True)
STRICT = Configuration(synchronous_mode="on", synchronous_mode_strict=True)


def writes(decision: Decision) -> list[Lease]:
    return [action.record for action in decision.actions if isinstance(action, WriteLease)]


def required(decision: Decision) -> list[tuple[Standby, ...]]:
    return [action.standbys for action in decision.actions if isinstance(action, Require)]


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
    decision = decide(electing(Synchronous("on", M0, (M2,))), NOW)
    assert not writes(decision) and decision.reason.code == "not-eligible" and "m0, m2" in decision.reason.text


def test_the_taker_keeps_the_set_without_itself_and_loses_nothing() -> None:
    """Its lag is of no account either: what it lacks was not acknowledged."""
    far = Synchronous("on", M0, (M1, M2))
    decision = decide(electing(far, optime=5000 + 2**30), NOW)
    [record] = writes(decision)
    [write] = [action for action in decision.actions if isinstance(action, WriteLease)]
    assert record.leader == "m1" and record.sync == Synchronous("on", M1, (M2,)) and write.at_risk == 0


def test_a_member_outside_the_set_is_not_waited_for_though_it_has_more() -> None:
    ahead = peer("m2", status("m2", position=Position(2, 9000)))
    found = msgspec.structs.replace(electing(SET), peers=(peer("m0", None), ahead))
    assert writes(decide(found, NOW))


@pytest.mark.parametrize(("sync", "at_once"), [(SET, True), (None, False), (Synchronous("on", M0, (M2,)), False)])
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
    ("configuration", "members", "proved", "promotes", "asks"),
    [
        (ON, (M2,), None, False, (M2,)),
        (ON, (M2,), (NOBODY,), False, (M2,)),
        (ON, (M2,), (M2,), True, (M2,)),
        (ON, (M2,), (M0, M2), True, (M2,)),
        (ON, (), None, True, ()),
        (STRICT, (), None, False, (NOBODY,)),
        (STRICT, (), (NOBODY,), True, (NOBODY,)),
    ],
)
def test_the_own_setting_holds_the_inherited_set_before_the_promotion(
    configuration: Configuration,
    members: tuple[Standby, ...],
    proved: tuple[Standby, ...] | None,
    promotes: bool,
    asks: tuple[Standby, ...],
) -> None:
    record = lease(leader="m1", address=None, candidates=(), sync=Synchronous("on", M1, members))
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
    sync = None if members is None else Synchronous("on", M1, members)
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
    return (None if plan.sync is None else plan.sync.members), plan.require


TWO = Configuration(synchronous_mode=True, synchronous_node_count=2)
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
        pytest.param((), {"enforced": Enforced((M0,), 5001)}, ((), (M0,)), id="proved, but it lacks what was before"),
        pytest.param((), {"enforced": Enforced((M0,), 5000)}, ((M0,), (M0,)), id="proved, and it has everything"),
        pytest.param((M0,), {}, ((M0,), (M0,)), id="settled"),
        pytest.param((M0,), {"configuration": Configuration()}, (None, None), id="on to off: the lease first"),
        pytest.param((M0,), ONLY_M2, ((), None), id="lost: it leaves the lease first"),
        pytest.param((), ONLY_M2, ((), (M2,)), id="then another one is named by the setting"),
        pytest.param((M0,), NONE, ((), None), id="all lost: the lease first"),
        pytest.param((), NONE, ((), ()), id="then the primary is alone"),
        pytest.param((), {**NONE, "configuration": STRICT}, ((), (NOBODY,)), id="strict: commits wait"),
        pytest.param((M0,), {**NONE, "configuration": STRICT}, ((M0,), (M0,)), id="strict: the set stays"),
        pytest.param(
            (M0,), {"senders": (Sender("m2", 5000),), "unsent_since": {"m0": NOW - 0.5}}, ((M0,), (M0,)),
            id="lost a moment ago: it may come back",
        ),
        pytest.param((M0,), {"configuration": TWO}, ((M0,), (M0, M2)), id="one more: the setting first"),
        pytest.param(
            (M0,), {"configuration": TWO, "enforced": Enforced((M0, M2), 5000)}, ((M0, M2), (M0, M2)),
            id="one more: then the lease",
        ),
        pytest.param((M0, M2), {}, ((M0,), None), id="one less: the lease first"),
        pytest.param((M0,), AGAIN, ((), None), id="cloned since: it is not who it was"),
        pytest.param(
            (), {**AGAIN, "enforced": Enforced((M0,), 0), "configuration": TWO}, ((), (Standby("m0", "new"), M2)),
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


def test_a_change_is_written_at_once_with_a_proof_of_health() -> None:
    fresh = leading((M0,), **NONE)
    [record] = writes(decide(fresh, NOW))
    assert record.sync == Synchronous("on", M1, ())
    stale = msgspec.structs.replace(fresh, health=Health(NOW - 50, True))
    decision = decide(stale, NOW)
    assert Prove() in decision.actions and not writes(decision)


@pytest.mark.parametrize(
    ("proved", "senders", "text"),
    [
        (None, (), ""), ((), (), ""), ((M0,), ALL, ""), ((M0, M2), (Sender("m2", 1),), "m0"),
        ((NOBODY,), ALL, "any standby to be synchronous (synchronous_mode_strict)"),
    ],
)  # fmt: skip
def test_commits_that_wait_are_told(proved: tuple[Standby, ...] | None, senders: tuple[Sender, ...], text: str) -> None:
    found = leading((), senders=senders, enforced=None if proved is None else Enforced(proved, 0))
    reason = decide(found, NOW).reason
    assert synchronous.waited_for(found) == text
    assert (reason.code == "commits-wait" and text in reason.text) if text else reason.code == "primary"


# The end of a primary, and of a standby


def test_a_postgres_that_died_hands_over_to_the_set() -> None:
    record = lease(leader="m1", address="10.0.0.1", sync=Synchronous("on", M1, (M2,)))
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
        leader="m1", address="10.0.0.1", sync=Synchronous("on", M1, (M0,)), candidates=leading_candidates()
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
    for changes, wanted in (({"configuration": ON}, (NOBODY,)), ({}, ())):
        assert required(decide(view(peers=peers, **changes), NOW)) == [wanted]
    assert required(decide(view(peers=peers, knowledge=observing(lease(sync=SET))), NOW)) == [(NOBODY,)]


# Texts


def test_the_set_survives_the_annotation() -> None:
    record = lease(sync=Synchronous("on", M0, (M1, M2)))
    texts = {name: text for name, text in to_annotations(record).items() if text is not None}
    assert from_annotations(texts, record.address) == record
    assert to_annotations(lease())["sync"] is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"synchronous_mode": "quorum"}', "synchronous_mode='quorum': must be on or off, quorum commit is not"),
        ('{"synchronous_mode": "maybe"}', "synchronous_mode='maybe': must be on or off"),
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
