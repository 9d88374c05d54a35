"""A lost lock object: who puts what there, and on whose word (ha-protocol §2, S1)."""

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
from pgherd.model.actions import Decision, Kill, PollPeers, RestoreLease, WriteLease
from pgherd.model.knowledge import Attempt, Knowledge, WriteKind, lost
from pgherd.model.lease import Candidate, Handover, Holder, Lease
from pgherd.model.member import MemberStatus
from pgherd.model.position import Position
from pgherd.model.server import Health
from pgherd.model.settings import Configuration
from pgherd.model.view import Task, TaskKind, View

GONE = NOW - 2.0
"""When the loss was first known: later than everybody's head start."""


def seen(serial: int = 7, **changes: Any) -> Lease:
    mark = Holder(uid="u0", container="c0", nonce="n", timeline=2, writable=2, serial=serial)
    return lease(**{"holder": mark, **changes})


def word(name: str, record: Lease | None, **changes: Any) -> MemberStatus:
    told = {"lease_seen": record, "epoch_seen": record.epoch if record else 0, "role": "replica"}
    return status(name, **{**told, **changes})


def losing(known: Knowledge, at: float = GONE, version: str = "") -> Knowledge:
    return lost(known, "the lock object is missing", version, at)


def survivor(own: Lease | None, *words: MemberStatus | None, **changes: Any) -> View:
    """m1 of m0, m1 and m2, none of which holds the lease."""
    known = Knowledge(last=own, highest_epoch=own.epoch if own else 0)
    peers = tuple(peer(name, said) for name, said in zip(("m0", "m2"), words, strict=True))
    return view(**{"knowledge": losing(known), "peers": peers, **changes})


def restored(decision: Decision) -> Lease:
    [action] = decision.actions
    assert isinstance(action, RestoreLease)
    return action.record


# The living holder


def holder(**changes: Any) -> View:
    mine = seen(leader="m1", address="10.0.0.1", candidates=(Candidate("m2", "i2"),))
    known = msgspec.structs.replace(holding(mine), last=mine)
    return leader_view(**{"knowledge": losing(known, NOW), "health": Health(NOW - 0.1, True), **changes})


def test_the_living_holder_writes_its_record_again_without_anybodys_word() -> None:
    decision = decide(holder(peers=()), NOW)
    [write] = [action for action in decision.actions if isinstance(action, WriteLease)]
    assert (write.kind, write.record.epoch, write.record.leader) == (WriteKind.RENEW, 6, "m1")
    assert (write.record.released, write.record.address, decision.reason.code) == (None, "10.0.0.1", "lock-healing")


@pytest.mark.parametrize("health", [Health(NOW - 5, True), Health(NOW - 0.1, False, "hangs")], ids=["old", "sick"])
def test_it_needs_the_proof_of_health_of_any_renewal(health: Health) -> None:
    decision = decide(holder(health=health), NOW)
    assert not [action for action in decision.actions if isinstance(action, (WriteLease, Kill))]


def test_at_its_deadline_it_has_no_postgresql_left_like_any_other() -> None:
    mine = seen(leader="m1")
    known = msgspec.structs.replace(holding(mine, NOW - 9.1), last=mine)
    assert decide(holder(knowledge=losing(known, NOW)), NOW).actions == (Kill(),)


def test_a_holder_that_stops_renews_a_new_lock_that_sends_nobody_to_it() -> None:
    task, mine = Task(TaskKind.STOP, NOW - 3), seen(leader="m1", address="10.0.0.1")
    known = msgspec.structs.replace(holding(mine, NOW - 3), last=mine)
    decision = decide(holder(knowledge=losing(known, NOW), task=task, terminating=True), NOW)
    [write] = [action for action in decision.actions if isinstance(action, WriteLease)]
    assert (write.kind, write.record.epoch, write.record.address) == (WriteKind.RENEW, 6, None)


def test_what_it_gives_up_meanwhile_it_gives_up_under_the_new_epoch() -> None:
    decision = decide(holder(server=stopped(), failures=(), terminating=True, peers=()), NOW)
    [write] = [action for action in decision.actions if isinstance(action, WriteLease)]
    assert (write.kind, write.record.epoch, write.record.released) == (WriteKind.RELEASE, 6, 6)


def test_whose_last_record_is_not_its_own_is_no_holder() -> None:
    known = msgspec.structs.replace(holding(seen(leader="m1")), last=seen(8, leader="m2"))
    known = msgspec.structs.replace(known, last=msgspec.structs.replace(lease(), leader="m2", holder=None))
    assert decide(holder(knowledge=losing(known, NOW)), NOW).actions == (Kill(),)


# The others


def test_without_every_members_word_nobody_goes_on() -> None:
    decision = decide(survivor(seen(), None, word("m2", seen())), NOW)
    assert decision.actions == (PollPeers(),) and decision.reason.code == "lock-lost"
    assert "not yet heard: m0" in decision.reason.text


def test_a_word_from_before_the_loss_does_not_count() -> None:
    early = peer("m0", word("m0", seen()), asked=GONE - 0.1)
    found = survivor(seen(), None, None, peers=(early, peer("m2", word("m2", seen()))))
    assert decide(found, NOW).actions == (PollPeers(),)


def test_a_word_from_before_the_version_that_is_there_does_not_count() -> None:
    """The holder did not see the accident and renewed since: its newest write must not be replaced by an older one."""
    known = losing(losing(Knowledge(last=seen(), highest_epoch=5), GONE, "8"), NOW - 0.2, "9")
    assert (known.lost_since, known.shown_since) == (GONE, NOW - 0.2)
    early = tuple(peer(name, word(name, seen()), asked=NOW - 0.3) for name in ("m0", "m2"))
    assert decide(survivor(seen(), None, None, knowledge=known, peers=early), NOW).actions == (PollPeers(),)
    assert restored(decide(survivor(seen(), word("m0", seen()), word("m2", seen()), knowledge=known), NOW)).epoch == 6


def test_the_newest_record_is_put_back_to_be_waited_out() -> None:
    newest = seen(9, candidates=(Candidate("m2", "i2"),), ttl=20.0, pause=True)
    back = restored(decide(survivor(seen(7), word("m0", seen(8)), word("m2", newest)), NOW))
    assert (back.leader, back.nonce, back.serial, back.candidates) == ("m0", "n", 10, newest.candidates)
    assert (back.epoch, back.ttl, back.pause, back.free) == (6, 20.0, True, False)
    assert back.holder is not None and (back.holder.uid, back.holder.container) == ("u0", "c0")


def test_a_later_epoch_is_newer_than_any_write_of_the_one_before() -> None:
    back = restored(decide(survivor(seen(70), word("m0", seen(70)), word("m2", seen(1, epoch=6, leader="m2"))), NOW))
    assert (back.leader, back.epoch) == ("m2", 7)


@pytest.mark.parametrize(
    "given", [{"released": 5}, {"handover": Handover("m1", "i1", 5, 0)}], ids=["released", "handed over"]
)
def test_what_was_given_up_is_waited_out_all_the_same(given: dict[str, Any]) -> None:
    """Somebody may have taken it whose memory went with its volume."""
    last = seen(**given)
    back = restored(decide(survivor(last, word("m0", last), word("m2", last)), NOW))
    assert (back.free, back.handover) == (False, None)


@pytest.mark.parametrize(
    "said",
    [word("m2", None), word("m2", seen(), epoch_tried=6), word("m2", seen(), epoch_seen=6)],
    ids=["remembers nothing", "may have taken it", "saw another epoch"],
)
def test_with_a_doubt_the_death_of_the_last_known_holder_proves_nothing(said: MemberStatus) -> None:
    back = restored(decide(survivor(seen(), word("m0", seen()), said), NOW))
    assert back.holder is not None and (back.holder.uid, back.holder.container, back.nonce) == ("", "", "n")
    assert back.epoch == max(6, said.epoch_tried + 1, said.epoch_seen + 1)


@pytest.mark.parametrize(
    ("given", "wanted", "doubt", "paused"),
    [(True, False, False, False), (True, True, False, True), (True, False, True, True), (False, False, False, True)],
    ids=["given away", "pause still wanted", "somebody may have taken it", "held"],
)
def test_a_pause_stays_unless_its_holder_had_given_the_lease_away(
    given: bool, wanted: bool, doubt: bool, paused: bool
) -> None:
    """A lease that is put back is nobody's to take in a pause, and its holder, who had left, would never end that."""
    mark = Holder(uid="u0", container="c0", nonce="n", timeline=2, writable=2, pause=True)
    last = lease(holder=mark, pause=True, released=5 if given else None)
    other = word("m2", last, epoch_tried=6) if doubt else word("m2", last)
    back = restored(decide(survivor(last, word("m0", last), other, configuration=Configuration(pause=wanted)), NOW))
    assert back.holder is not None and (back.pause, back.holder.pause, back.free) == (paused, paused, False)


@pytest.mark.parametrize(
    ("line", "system", "writable"),
    [(3, "7000", 3), (2, "7000", 2), (3, "another", 2)],
    ids=["promoted", "not promoted", "another cluster's"],
)
def test_a_promotion_that_took_place_was_published_for_all_that_is_known(line: int, system: str, writable: int) -> None:
    """The write that publishes may have had effect just before the lock was lost: who lacks it must not take (S2)."""
    mark = Holder(uid="u0", container="c0", nonce="n", timeline=3, writable=2)
    last = lease(holder=mark, address=None)
    maker = word("m0", last, position=Position(line, 6000), system_identifier=system)
    back = restored(decide(survivor(last, maker, word("m2", last)), NOW))
    assert back.holder is not None and (back.holder.timeline, back.holder.writable) == (3, writable)


@pytest.mark.parametrize(
    "given", [{"released": 5}, {"handover": Handover("m2", "i2", 5, 6000)}], ids=["freed", "named"]
)
@pytest.mark.parametrize(("doubt", "writable"), [(False, 2), (True, 3)], ids=["certain", "somebody may have taken it"])
def test_a_promotion_that_was_given_up_bars_nobody(given: dict[str, Any], doubt: bool, writable: int) -> None:
    """Who gave the lease away said with that write what it had published; its branch stays nobody's."""
    mark = Holder(uid="u0", container="c0", nonce="n", timeline=3, writable=2)
    last = lease(holder=mark, address=None, **given)
    maker = word("m0", last, position=Position(3, 6000))
    other = word("m2", last, epoch_tried=6) if doubt else word("m2", last)
    back = restored(decide(survivor(last, maker, other), NOW))
    assert back.holder is not None and (back.free, back.holder.writable) == (False, writable)


def test_clients_stay_where_the_holder_says_that_it_is_primary() -> None:
    living = word("m0", seen(), role="primary", holds_until=5.0)
    assert restored(decide(survivor(seen(), living, word("m2", seen())), NOW)).address == "10.0.0.0"
    assert restored(decide(survivor(seen(), word("m0", seen()), word("m2", seen())), NOW)).address is None


def test_the_holder_goes_first_and_the_others_one_by_one() -> None:
    words = (word("m0", seen()), word("m2", seen()))
    early = losing(Knowledge(last=seen(), highest_epoch=5), NOW - 1.1)
    decision = decide(survivor(seen(), *words, knowledge=early), NOW)
    assert decision.actions == (PollPeers(),) and decision.reason.code == "lock-restoring"
    assert decision.wake_at == pytest.approx(NOW + 0.2)


def test_when_nobody_remembers_a_lease_a_person_decides() -> None:
    decision = decide(survivor(None, word("m0", None), word("m2", None)), NOW)
    assert decision.reason.code == "lock-lost" and "a person" in decision.reason.text


@pytest.mark.parametrize("server", [primary(), standby(promoting=True, primary=True)])
def test_nobody_else_stays_writable(server: Any) -> None:
    found = survivor(seen(), word("m0", seen()), word("m2", seen()), server=server)
    assert decide(found, NOW).actions == (Kill(),)


def test_a_fresh_object_beside_an_old_cluster_is_free_only_when_nobody_remembers_another() -> None:
    """A member without memory sees the play's new object; the cluster has an identity."""
    fresh = observing(lease(leader=None, holder=None, epoch=0, released=0, candidates=()), GONE)
    asked = decide(survivor(None, None, word("m2", None), knowledge=fresh), NOW)
    assert asked.actions == (PollPeers(),) and asked.reason.code == "lock-lost"
    told = decide(survivor(None, word("m0", seen()), word("m2", None), knowledge=fresh), NOW)
    assert restored(told).epoch == 6
    unknown = decide(survivor(None, word("m0", None), word("m2", None), knowledge=fresh), NOW)
    assert unknown.reason.code == "yielding"  # an election as ever: m0 goes first


def test_an_own_write_without_an_answer_is_a_doubt_too() -> None:
    attempt = Attempt("x", NOW - 3, 10, WriteKind.TAKE, 6, "8")
    known = losing(Knowledge(last=seen(), highest_epoch=5, unanswered=(attempt,)))
    back = restored(decide(survivor(seen(), word("m0", seen()), word("m2", seen()), knowledge=known), NOW))
    assert back.epoch == 7 and back.holder is not None and back.holder.uid == ""
