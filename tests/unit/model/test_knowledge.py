"""The arithmetic of the lease: what a holder and an observer may do, and when (§2, S1, S4)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pgherd.model.knowledge import (
    Attempt,
    Knowledge,
    WriteKind,
    deadline,
    dropped,
    expires,
    holds,
    lost,
    observed,
    refused,
    sent,
    takeable_at,
)
from pgherd.model.lease import Holder, Lease
from pgherd.model.settings import margin

NOW = 1000.0
TTL = 10.0
quick = settings(deadline=None, database=None, derandomize=True, max_examples=300)
times = st.floats(0, 1e7)
ttls = st.floats(3, 300)


def record(nonce: str, **changes: Any) -> Lease:
    holder = Holder(uid="u1", container="c1", nonce=nonce, timeline=2, writable=2)
    return msgspec.structs.replace(Lease(leader="m1", epoch=5, ttl=TTL, holder=holder), **changes)


def attempt(nonce: str, t0: float = NOW, **changes: Any) -> Attempt:
    return msgspec.structs.replace(Attempt(nonce, t0, TTL, WriteKind.RENEW, 5, "1"), **changes)


def held(t0: float = NOW, **changes: Any) -> Knowledge:
    """Sent at t0, confirmed half a second later as version 2."""
    tried = attempt("a", t0, **changes)
    return observed(sent(Knowledge(), tried), record("a", ttl=tried.ttl, epoch=tried.epoch), "2", t0 + 0.5)


# The holder


def test_success_counts_from_before_the_request_and_not_from_the_reply() -> None:
    known = held()
    assert (expires(known), deadline(known)) == (NOW + 10, NOW + 9)
    assert (known.first_seen, known.held_from) == (NOW + 0.5, NOW)


def test_a_lease_ends_by_itself() -> None:
    known = held()
    assert holds(known, NOW + 9.999) and not holds(known, NOW + 10)


def test_a_record_that_merely_names_this_member_is_anothers() -> None:
    known = observed(Knowledge(), record("of nobody's write here"), "2", NOW)
    assert known.held is None and not holds(known, NOW) and deadline(known) == 0.0


def test_a_write_that_was_only_sent_gives_nothing() -> None:
    assert deadline(sent(Knowledge(), attempt("a"))) == 0.0


def test_the_nonce_that_is_read_back_later_counts_from_its_own_t0() -> None:
    """The reply was lost; the watch shows the record four seconds later."""
    known = sent(held(), attempt("b", NOW + 3, version="2"))
    known = observed(known, record("b"), "3", NOW + 7)
    assert known.unanswered == () and expires(known) == NOW + 13 and known.held_from == NOW


def test_another_version_with_another_nonce_excludes_an_unanswered_write() -> None:
    known = sent(held(), attempt("b", NOW + 3, version="2"))
    known = observed(known, record("of another member", leader="m2", epoch=6), "3", NOW + 4)
    assert known.unanswered == () and known.held is None


def test_the_same_version_again_excludes_nothing() -> None:
    known = sent(held(), attempt("b", NOW + 3, version="2", ttl=4.0))
    known = observed(known, record("a"), "2", NOW + 4)
    assert [each.nonce for each in known.unanswered] == ["b"] and expires(known) == NOW + 4


def test_a_refused_write_never_happened() -> None:
    known = sent(held(), attempt("b", NOW + 3, version="2", ttl=4.0))
    assert expires(known) == NOW + 4 and refused(known, "b") == held()


@pytest.mark.parametrize("kind", [WriteKind.HANDOVER, WriteKind.RELEASE])
def test_a_lease_that_may_have_been_given_away_has_no_deadline_left(kind: WriteKind) -> None:
    known = sent(held(), attempt("b", NOW + 3, version="2", kind=kind))
    assert deadline(known) == 0.0
    assert deadline(refused(known, "b")) == NOW + 9
    confirmed = observed(known, record("b"), "3", NOW + 3.1)
    assert confirmed.held is None and deadline(confirmed) == 0.0


def test_it_holds_since_the_first_write_of_the_epoch() -> None:
    renewed = observed(sent(held(), attempt("b", NOW + 3, version="2")), record("b"), "3", NOW + 3.2)
    assert renewed.held_from == NOW
    again = attempt("c", NOW + 30, version="3", epoch=6, kind=WriteKind.TAKE)
    taken = observed(sent(renewed, again), record("c", epoch=6), "4", NOW + 30.5)
    assert taken.held_from == NOW + 30


def test_a_ttl_that_somebody_shortened_binds_the_holder_at_once() -> None:
    known = observed(held(), record("a", ttl=4.0), "3", NOW + 1)
    assert (expires(known), deadline(known)) == (NOW + 4, NOW + 3)
    longer = observed(held(), record("a", ttl=100.0), "3", NOW + 1)
    assert expires(longer) == NOW + 10


@pytest.mark.parametrize(("ttl", "least"), [(3.0, 1.0), (10.0, 1.0), (10.1, 1.01), (30.0, 3.0)])
def test_the_margin_is_a_tenth_and_at_least_a_second(ttl: float, least: float) -> None:
    assert margin(ttl) == pytest.approx(least)
    assert deadline(held(ttl=ttl)) == pytest.approx(NOW + ttl - least)


# The observer


def test_the_wait_starts_with_the_first_look_at_a_nonce() -> None:
    known = observed(Knowledge(), record("a"), "2", NOW)
    assert takeable_at(known) == NOW + 10
    assert takeable_at(observed(known, record("a", optime=7), "3", NOW + 5)) == NOW + 10
    assert takeable_at(observed(known, record("b"), "3", NOW + 5)) == NOW + 15


@pytest.mark.parametrize("ttl", [4.0, 60.0])
def test_an_edited_ttl_is_waited_out_as_both_readings_ask(ttl: float) -> None:
    """Its holder may be cut off and not know of a shorter one (S1)."""
    known = observed(Knowledge(), record("a"), "2", NOW)
    assert takeable_at(observed(known, record("a", ttl=ttl), "3", NOW + 5)) == max(NOW + 5 + ttl, NOW + 10)


@pytest.mark.parametrize(
    ("before", "end"),
    [(held(), NOW + 9), (observed(Knowledge(), record("x"), "2", NOW), 0.0)],
    ids=["holder", "observer"],
)
def test_an_epoch_that_went_back_is_an_accident(before: Knowledge, end: float) -> None:
    """Nobody can have taken it from its holder, whose deadline stands and is not moved."""
    known = observed(before, record("z", epoch=4, released=4), "3", NOW + 1)
    assert known.record is None and deadline(known) == end and (known.base, known.lost_since) == ("3", NOW + 1)
    assert "from 5 to 4" in known.trouble and known.highest_epoch == 5
    cured = observed(known, record("y", epoch=6), "4", NOW + 2)
    assert (cured.trouble, cured.held, cured.lost_since) == ("", None, 0)
    assert takeable_at(cured) == NOW + 12 and cured.highest_epoch == 6


def test_the_epoch_that_the_volume_remembers_counts() -> None:
    assert observed(Knowledge(highest_epoch=9), record("a"), "2", NOW).record is None


def stamped(serial: int, **changes: Any) -> Lease:
    mark = Holder(uid="u1", container="c1", nonce=f"w{serial}", timeline=2, writable=2, serial=serial)
    return record("", holder=mark, **changes)


def test_an_older_write_of_the_same_epoch_is_an_accident() -> None:
    known = observed(Knowledge(), stamped(7), "2", NOW)
    assert observed(known, stamped(6), "3", NOW + 1).record is None
    assert observed(known, stamped(7, leader="edited"), "3", NOW + 1).record is not None
    assert observed(known, stamped(1, epoch=6), "3", NOW + 1).record is not None


def test_what_comes_back_after_a_loss_counts_only_under_a_new_epoch() -> None:
    """Others may have seen a newer record than this member's last, and be silent."""
    known = lost(observed(Knowledge(), stamped(7), "2", NOW), "missing", "", NOW + 1)
    assert observed(known, stamped(8), "3", NOW + 2).record is None
    back = observed(known, stamped(8, epoch=6), "3", NOW + 2)
    assert takeable_at(back) == NOW + 12


def test_a_record_that_names_nobody_is_no_last_word() -> None:
    known = observed(held(), record("", holder=None), "3", NOW + 1)
    assert known.record is None and known.last is not None and known.last.nonce == "a" and deadline(known) == NOW + 9


def test_a_dropped_lease_is_anothers_at_once() -> None:
    known = dropped(held(), "the clock stepped")
    assert (known.record, known.held, deadline(known)) == (None, None, 0.0)
    assert observed(known, record("a"), "2", NOW + 1).held is None


def test_a_lost_object_moves_no_deadline_and_forgets_no_write() -> None:
    known = lost(sent(held(), attempt("b", NOW + 3, version="2")), "the lock object is missing", "", NOW + 3.5)
    assert known.record is None and deadline(known) == NOW + 9 and known.trouble == "the lock object is missing"
    assert lost(known, "the lock object is missing", "", NOW + 5).lost_since == NOW + 3.5 and known.base == ""
    assert [each.nonce for each in known.unanswered] == ["b"] and known.highest_epoch == 5
    known = sent(known, attempt("c", NOW + 4, version="", epoch=6))
    again = observed(known, record("c", epoch=6), "3", NOW + 5)
    assert expires(again) == NOW + 14 and takeable_at(again) == NOW + 15


# Properties


@quick
@given(t0=times, delay=st.floats(0, 1000), ttl=ttls)
def test_a_holder_is_dead_before_anybody_takes(t0: float, delay: float, ttl: float) -> None:
    """S1: whatever time passes between the holder's t0 and the observer's first look."""
    observer = observed(Knowledge(), record("a", ttl=ttl), "2", t0 + delay)
    assert deadline(held(t0, ttl=ttl)) < takeable_at(observer)


@quick
@given(t0=times, gap=st.floats(0, 100), ttl=ttls, shorter=ttls, kind=st.sampled_from(WriteKind))
def test_an_unanswered_write_leaves_the_stricter_of_both_outcomes(
    t0: float, gap: float, ttl: float, shorter: float, kind: WriteKind
) -> None:
    before = held(t0, ttl=ttl)
    tried = attempt("b", t0 + gap, version="2", ttl=shorter, kind=kind)
    waiting = sent(before, tried)
    happened = observed(waiting, record("b", ttl=shorter), "3", t0 + gap)
    assert deadline(waiting) <= min(deadline(before), deadline(happened))
    assert expires(waiting) <= expires(before)


steps = st.lists(
    st.tuples(st.floats(0.05, 5), ttls, st.booleans(), st.booleans(), st.floats(0, 2)), min_size=1, max_size=12
)


@quick
@given(steps)
def test_whatever_gets_lost_the_holder_is_dead_before_the_store_lets_anybody_take(
    given_steps: list[tuple[float, float, bool, bool, float]],
) -> None:
    """S1, S4 over runs: each write may reach the store or not, and its reply may be lost; the observer sees each
    record that the store takes, some time after it was sent. Taking needs the version that it saw (compare-and-swap).
    """
    now, version = NOW, 1
    stored = record("0", epoch=4)
    holder = observed(Knowledge(), stored, "1", now)
    observer = holder
    for number, (gap, ttl, arrives, answered, delay) in enumerate(given_steps, 1):
        now += gap
        tried = attempt(f"{number}", now, ttl=ttl, version=holder.version)
        holder = sent(holder, tried)
        conflict = tried.version != str(version)
        if arrives and not conflict:
            version += 1
            stored = record(tried.nonce, ttl=ttl)
            observer = observed(observer, stored, str(version), now + delay)
        if arrives and answered:
            holder = refused(holder, tried.nonce) if conflict else holder
            holder = observed(holder, stored, str(version), now + delay)
        assert observer.version == str(version)
        assert deadline(holder) < takeable_at(observer)
        now += delay


@quick
@given(ttl=ttls, shorter=ttls)
def test_a_shorter_ttl_never_makes_a_later_deadline(ttl: float, shorter: float) -> None:
    assume(shorter <= ttl)
    assert deadline(held(ttl=shorter)) <= deadline(held(ttl=ttl))
