"""The record as annotations: it reads back as it was written, and what is no lease is refused by name (§2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgherd.model.lease import (
    LONGEST,
    Candidate,
    Handover,
    Holder,
    Lease,
    MalformedLease,
    from_annotations,
    to_annotations,
)

quick = settings(deadline=None, database=None, derandomize=True, max_examples=100)
words = st.text(max_size=20)
numbers = st.integers(0, 2**63)
candidates = st.builds(Candidate, words, words)


def as_written(lease: Lease) -> Lease:
    """Its maker's own word on the pause is the record's."""
    holder = None if lease.holder is None else msgspec.structs.replace(lease.holder, pause=lease.pause)
    return msgspec.structs.replace(lease, holder=holder)


leases = st.builds(
    Lease,
    leader=st.none() | st.text(min_size=1, max_size=20),
    epoch=numbers,
    ttl=st.sampled_from([3.0, 4.5, 10.0, 30.0, 0.25, 86400.0]),
    released=st.none() | numbers,
    acquire_time=words,
    renew_time=words,
    optime=numbers,
    holder=st.none() | st.builds(Holder, words, words, words, numbers, numbers),
    candidates=st.lists(candidates, max_size=3).map(tuple),
    handover=st.none() | st.builds(Handover, words, words, numbers, numbers),
    slots=st.dictionaries(words, numbers, max_size=3),
    retain_slots=st.lists(words, max_size=3).map(tuple),
    pause=st.booleans(),
    address=st.none() | words,
).map(as_written)


def written(lease: Lease) -> dict[str, str]:
    """As the API keeps them: an annotation that was removed is not there."""
    return {name: value for name, value in to_annotations(lease).items() if value is not None}


@quick
@given(leases)
def test_what_was_written_reads_back(lease: Lease) -> None:
    assert from_annotations(written(lease), lease.address) == lease


@quick
@given(leases, leases)
def test_nothing_of_the_record_before_it_is_left(before: Lease, after: Lease) -> None:
    """A merge patch: every annotation of the record is named, set or removed."""
    merged = {name: value for name, value in {**written(before), **to_annotations(after)}.items() if value is not None}
    assert from_annotations(merged, after.address) == after


def test_people_and_tools_read_what_they_know() -> None:
    """Names and forms as Patroni writes them."""
    lease = Lease(leader="m0", epoch=5, ttl=10.0, optime=83886080, slots={"m1": 83886080})
    assert written(lease) == {
        "leader": "m0", "ttl": "10", "transitions": "5", "optime": "83886080", "slots": '{"m1":83886080}',
        "retain_slots": "[]",
    }  # fmt: skip


def test_an_empty_map_of_retained_slots_is_read_too() -> None:
    """As the first agents wrote it."""
    assert from_annotations({**PLAIN, "retain_slots": "{}"}, None).retain_slots == ()


PLAIN = {"transitions": "5", "ttl": "10", "released": "5", "leader": "m0"}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"ttl": None}, "annotation ttl is missing"),
        ({"transitions": None}, "annotation transitions is missing"),
        ({"ttl": "nan"}, "ttl='nan'"),
        ({"ttl": "inf"}, "ttl='inf'"),
        ({"ttl": "0"}, "ttl='0'"),
        ({"ttl": "-10"}, "ttl='-10'"),
        ({"ttl": str(LONGEST + 1)}, "at most 86400 s"),
        ({"ttl": "ten"}, "must be numbers"),
        ({"ttl": ""}, "must be numbers"),
        ({"transitions": "5.5"}, "must be numbers"),
        ({"transitions": ""}, "must be numbers"),
        ({"released": "yes"}, "must be numbers"),
        ({"optime": "0/3000060"}, "must be numbers"),
        ({"holder": "{"}, "annotation holder"),
        ({"holder": '{"uid": "u0"}'}, "annotation holder"),
        ({"holder": '{"uid":"u0","container":"","nonce":"n","timeline":"2","writable":2}'}, "annotation holder"),
        ({"candidates": '["m1"]'}, "annotation candidates"),
        ({"candidates": "null"}, "annotation candidates"),
        ({"candidates": '{"m1": "i1"}'}, "annotation candidates"),
        ({"handover": '{"to": "m1"}'}, "annotation handover"),
        ({"slots": '{"m1": "0/3000060"}'}, "annotation slots"),
        ({"retain_slots": "[1]"}, "annotation retain_slots"),
    ],
)
def test_what_is_no_lease_is_an_accident_and_never_free(changes: Mapping[str, str | None], named: str) -> None:
    given_ = {name: value for name, value in {**PLAIN, **changes}.items() if value is not None}
    with pytest.raises(MalformedLease) as refused:
        from_annotations(given_, None)
    assert named in str(refused.value)


@pytest.mark.parametrize(
    ("released", "free"), [("5", True), ("4", False), ("6", False), (None, False), ("", False), ("-5", False)]
)
def test_free_means_only_that_the_present_epoch_was_given_up(released: str | None, free: bool) -> None:
    given_ = {name: value for name, value in {**PLAIN, "released": released}.items() if value is not None}
    assert from_annotations(given_, None).free is free


def test_the_object_that_the_play_makes_is_free() -> None:
    lease = from_annotations({"transitions": "0", "released": "0", "ttl": "10"}, None)
    assert lease.free and lease.leader is None and lease.nonce == ""


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"leader": ""}, "leader", None),
        ({"candidates": ""}, "candidates", ()),
        ({"slots": ""}, "slots", {}),
        ({"optime": ""}, "optime", 0),
        ({"pause": "true"}, "pause", True),
        ({"pause": "yes"}, "pause", False),
        ({"of-another-tool": "x"}, "epoch", 5),
    ],
)
def test_what_is_empty_or_unknown_is_no_accident(changes: dict[str, str], field: str, value: Any) -> None:
    assert getattr(from_annotations({**PLAIN, **changes}, None), field) == value


def test_who_removes_the_annotation_pause_ends_no_pause() -> None:
    """Its holder, which may be cut off, has disarmed its fence: only its own record without it ends the pause (S1)."""
    holder = Holder("u0", "c0", "n", 2, 2, pause=True)
    recorded = written(Lease(leader="m0", epoch=5, ttl=10.0, holder=holder, pause=True))
    assert recorded.pop("pause") == "true"
    assert from_annotations(recorded, None).pause
