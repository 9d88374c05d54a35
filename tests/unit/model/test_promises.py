"""The arithmetic of promises: what a round is worth to a holder, and what a promise binds its giver to (§5, S1)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgherd.model import promises as p
from pgherd.model.knowledge import (
    Attempt,
    Extension,
    Given,
    Knowledge,
    WriteKind,
    deadline,
    dropped,
    expires,
    extended,
    lost,
    observed,
    promised_away,
    renewed_at,
    sent,
    takeable_at,
)
from pgherd.model.lease import Candidate, Handover, Holder, Lease
from pgherd.model.promises import Question, Round
from pgherd.model.settings import margin

NOW, TTL = 1000.0, 10.0
quick = settings(deadline=None, database=None, derandomize=True, max_examples=300)


def record(nonce: str, *named: str, **changes: Any) -> Lease:
    holder = Holder(uid="u1", container="c1", nonce=nonce, timeline=2, writable=2)
    base = Lease(leader="m1", epoch=5, ttl=TTL, holder=holder, candidates=tuple(Candidate(m, f"i-{m}") for m in named))
    return msgspec.structs.replace(base, **changes)


def attempt(nonce: str, t0: float, *named: str, **changes: Any) -> Attempt:
    candidates = tuple(Candidate(m, f"i-{m}") for m in named)
    return msgspec.structs.replace(Attempt(nonce, t0, TTL, WriteKind.RENEW, 5, "2", candidates), **changes)


def holder(*named: str, **changes: Any) -> Knowledge:
    """Confirmed as version 2, sent at NOW."""
    known = sent(Knowledge(), attempt("a", NOW, *named, version="1"))
    known = observed(known, record("a", *named), "2", NOW + 0.1)
    return msgspec.structs.replace(known, **changes)


def begun(known: Knowledge, now: float = NOW + 6) -> Round:
    return p.begin(known, "m1", "u1", now)


# The holder


def test_a_complete_round_counts_from_its_beginning() -> None:
    known = holder("m2")
    known = p.extend(known, begun(known, NOW + 6))
    assert (deadline(known), expires(known), renewed_at(known)) == (NOW + 15, NOW + 16, NOW + 6)
    assert extended(known)


def test_everybody_whom_the_record_or_a_write_without_an_answer_names_is_asked() -> None:
    known = sent(sent(holder("m2"), attempt("b", NOW + 3, "m2", "m3")), attempt("c", NOW + 4))
    asked = begun(known)
    assert asked.needed == {"m2", "m3"}
    assert asked.question == Question("m1", "u1", 5, ("a", "b", "c"), TTL)


def test_a_write_without_an_answer_may_have_a_smaller_ttl() -> None:
    known = sent(holder("m2"), attempt("b", NOW + 3, ttl=4.0))
    asked = begun(known, NOW + 2)
    assert asked.question.ttl == 4.0
    assert expires(p.extend(known, asked)) == NOW + 2 + 4


def test_a_smaller_ttl_sent_after_the_round_holds_for_it_too() -> None:
    known = p.extend(holder("m2"), begun(holder("m2"), NOW + 6))
    assert expires(sent(known, attempt("b", NOW + 7, ttl=3.0))) == NOW + 6 + 3


def test_a_longer_ttl_that_is_confirmed_later_does_not_lengthen_what_was_promised() -> None:
    known = sent(holder("m2"), attempt("b", NOW + 3, "m2", ttl=30.0))
    known = p.extend(known, begun(known, NOW + 6))
    known = observed(known, record("b", "m2", ttl=30.0), "3", NOW + 7)
    assert expires(known) == NOW + 3 + 30
    assert [known.extension.began + known.extension.ttl] == [NOW + 16] if known.extension else False


def test_the_next_confirmed_renewal_counts_by_itself() -> None:
    known = p.extend(holder("m2"), begun(holder("m2"), NOW + 6))
    known = observed(sent(known, attempt("b", NOW + 8, "m2")), record("b", "m2"), "3", NOW + 8.1)
    assert (renewed_at(known), deadline(known), extended(known)) == (NOW + 8, NOW + 17, False)
    assert known.before == "a"  # whose watch is late still sees that


@pytest.mark.parametrize(
    ("given_by", "now", "change", "why"),
    [
        ({"m2", "m3"}, NOW + 7, {}, ""),
        ({"m2", "m3", "m9"}, NOW + 7, {}, ""),
        ({"m2"}, NOW + 7, {}, "no promise from m3"),
        (set(), NOW + 7, {}, "no promise from m2, m3"),
        ({"m2", "m3"}, NOW + 8.999, {}, ""),
        ({"m2", "m3"}, NOW + 9.0, {}, "after the deadline"),
        ({"m2", "m3"}, NOW + 7, {"held": None}, "another one"),
        (
            {"m2", "m3"},
            NOW + 7,
            {"unanswered": (attempt("r", NOW + 6.5, kind=WriteKind.RELEASE),)},
            "after the deadline",
        ),
    ],
)
def test_what_counts(given_by: set[str], now: float, change: dict[str, Any], why: str) -> None:
    known = holder("m2", "m3")
    asked = begun(known)
    found = p.uncounted(msgspec.structs.replace(known, **change), asked, frozenset(given_by), now)
    assert (found == "") if why == "" else why in found


def test_nobody_to_ask_is_a_complete_round() -> None:
    known = holder()
    asked = begun(known)
    assert asked.needed == frozenset() and p.uncounted(known, asked, frozenset(), NOW + 6) == ""


def test_promises_outlive_the_loss_of_the_lock_object() -> None:
    """Who sees the lock made anew promises nothing for the lease before, and waits for a whole ttl from then (S1)."""
    known = p.extend(holder("m2"), begun(holder("m2")))
    assert deadline(lost(known, "missing", "", NOW)) == deadline(known)


@pytest.mark.parametrize("end", ["dropped", "taken", "released"])
def test_an_extension_ends_with_the_lease(end: str) -> None:
    known = p.extend(holder("m2"), begun(holder("m2")))
    if end == "dropped":
        known = dropped(known, "the wall clock stepped")
    elif end == "taken":
        known = observed(known, record("x", epoch=6, leader="m2"), "3", NOW + 7)
    else:
        known = sent(known, attempt("r", NOW + 7, kind=WriteKind.RELEASE))
    assert deadline(known) == 0.0


@quick
@given(
    waits=st.lists(st.tuples(st.floats(0.1, 8.9), st.floats(0.0, 1.0), st.booleans()), max_size=12),
    ttl=st.floats(3, 60),
    ratio=st.floats(0.99, 1.01),
)
def test_no_candidate_may_take_before_the_holder_s_deadline(
    waits: list[tuple[float, float, bool]], ttl: float, ratio: float
) -> None:
    """One candidate whose clock runs at another rate, rounds that come and go: dead before it may take (S1)."""
    named = Candidate("m2", "i")
    mine = Attempt("a", NOW, ttl, WriteKind.RENEW, 5, "1", (named,))
    lease = record("a", ttl=ttl, candidates=(named,))
    known = observed(sent(Knowledge(), mine), lease, "2", NOW)
    seen = observed(Knowledge(), lease, "2", NOW * ratio)
    now = NOW
    for wait, way, arrives in waits:
        now += wait
        if now >= deadline(known) or now * ratio >= takeable_at(seen):
            break
        asked = begun(known, now)
        assert p.refusal(seen, asked.question, taking=False) == ""
        seen = p.promise(seen, asked.question, (now + way / 2) * ratio)
        if arrives and not p.uncounted(known, asked, frozenset({"m2"}), now + way):
            known = p.extend(known, asked)
        now += way
    assert deadline(known) + 0.05 < takeable_at(seen) / ratio + 1e-6


# Who promises


def observer(**changes: Any) -> Knowledge:
    return msgspec.structs.replace(observed(Knowledge(), record("a", "m2"), "2", NOW), **changes)


ASKED = Question("m1", "u1", 5, ("a", "before"), TTL)
TAKE = Attempt("t", NOW, TTL, WriteKind.TAKE, 6, "2")


@pytest.mark.parametrize(
    ("known", "asked", "taking", "why"),
    [
        (observer(), {}, False, ""),
        (observer(), {"nonces": ("x", "a")}, False, ""),
        (observer(), {"nonces": ("x",)}, False, "another write"),
        (observer(), {"epoch": 4}, False, "epoch 5"),
        (observer(), {"epoch": 6}, False, "epoch 5"),
        (observer(), {"member": "m3"}, False, "epoch 5 of m1"),
        (observer(), {"uid": "u9"}, False, "epoch 5 of m1"),
        (observer(), {"ttl": 11.0}, False, "a ttl of 10 s"),
        (observer(), {"ttl": 9.0}, False, ""),
        (observer(), {}, True, "not resolved"),
        (observer(unanswered=(TAKE,)), {}, False, "not resolved"),
        (Knowledge(unanswered=(TAKE,)), {}, False, "not resolved"),
        (holder("m2"), {}, False, "holds the lease"),
        (observer(given=Given(6, NOW)), {}, False, "promised for epoch 6"),
        (observer(given=Given(5, NOW)), {}, False, ""),
        (Knowledge(highest_epoch=5), {}, False, ""),
        (Knowledge(highest_epoch=6), {}, False, "seen epoch 6"),
        (lost(observer(), "the lock object is missing", "", 0.0), {}, False, "missing"),
        (observed(Knowledge(), record("a", released=5), "2", NOW), {}, False, "gave epoch 5 up"),
        (observed(Knowledge(), record("a", handover=Handover("m2", "i", 5, 0)), "2", NOW), {}, False, "gave epoch 5"),
        (observed(Knowledge(), record("a", holder=None), "2", NOW), {}, False, "names no holder"),
    ],
)  # fmt: skip
def test_who_promises(known: Knowledge, asked: dict[str, Any], taking: bool, why: str) -> None:
    found = p.refusal(known, msgspec.structs.replace(ASKED, **asked), taking)
    assert (found == "") if why == "" else why in found


def test_a_promise_binds_for_the_epoch_whatever_is_read_later() -> None:
    known = p.promise(observer(), ASKED, NOW + 8)
    assert takeable_at(known) == NOW + 18
    renewed = observed(known, record("b", "m2"), "3", NOW + 8.5)
    assert takeable_at(renewed) == NOW + 18.5
    edited = observed(known, record("a", "m2", ttl=1.0), "3", NOW + 8.5)
    assert takeable_at(edited) == NOW + 18
    assert promised_away(observed(known, record("x", epoch=6, leader="m3"), "4", NOW + 9)) == 0.0


def test_a_promise_is_never_shortened() -> None:
    known = p.promise(observer(), ASKED, NOW + 8)
    assert promised_away(p.promise(known, msgspec.structs.replace(ASKED, ttl=3.0), NOW + 9)) == NOW + 18


@quick
@given(promised=st.floats(0, 100), restart=st.floats(0, 100), ttl=st.floats(3, 60))
def test_an_agent_that_starts_anew_waits_for_longer_than_its_predecessor_promised(
    promised: float, restart: float, ttl: float
) -> None:
    lease, asked = record("a", "m2", ttl=ttl), msgspec.structs.replace(ASKED, ttl=ttl)
    before = observed(Knowledge(), lease, "2", NOW)
    assert p.refusal(before, asked, taking=False) == ""
    before = p.promise(before, asked, NOW + promised)
    after = observed(Knowledge(highest_epoch=5), lease, "2", NOW + promised + restart)
    assert takeable_at(after) >= promised_away(before)


def test_who_has_read_nothing_is_bound_by_what_it_will_read() -> None:
    known = p.promise(Knowledge(), ASKED, NOW)
    assert promised_away(known) == NOW + 10
    assert takeable_at(observed(known, record("a", "m2", ttl=1.0), "2", NOW + 0.5)) == NOW + 10


def test_the_margin_is_that_of_the_ttl_that_was_promised() -> None:
    known = holder("m2", extension=Extension(5, NOW + 6, 3.0))
    assert deadline(known) == max(NOW + 10 - margin(10.0), NOW + 6 + 3 - margin(3.0))
