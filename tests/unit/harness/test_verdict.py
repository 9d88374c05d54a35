"""The verdict on real faults is a function, and it can say no."""

from __future__ import annotations

import pytest
from tests.ha.harness.clients import Ack
from tests.ha.harness.verdict import after_thaw, two_primaries, unadmitted

OLD, NEW = "m0", "m1"
RECEIPT = {"from": {"member": OLD, "timeline": 1}, "to": {"member": NEW, "timeline": 2, "lsn": "0/200"}}


def row(sent: float, timeline: int, lsn: int = 0) -> Ack:
    return Ack(sent, sent + 0.01, 1, timeline, lsn)


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ([row(1, 1), row(2, 1)], [row(3, 2), row(4, 2)], 0),
        ([row(1, 1), row(3.5, 1)], [row(3, 2), row(4, 2)], 1),  # the old one goes on beside the new one
        ([row(1, 1), row(5, 3)], [row(3, 2), row(4, 2)], 0),  # there and back again
        ([row(1, 1), row(5, 1)], [row(3, 2), row(4, 2)], 1),  # wrote on its old timeline after the new one
        ([row(1, 1)], [row(3, 1)], 1),  # two servers on one timeline
    ],
)
def test_two_primaries_are_seen(old: list[Ack], new: list[Ack], found: int) -> None:
    assert len(two_primaries({OLD: old, NEW: new})) == found


@pytest.mark.parametrize(("timeline", "lsn", "admitted"), [(1, 0x201, True), (1, 0x200, False), (2, 0x300, False)])
def test_a_lost_row_is_admitted_only_beyond_the_fork(timeline: int, lsn: int, admitted: bool) -> None:
    lost = [row(1, timeline, lsn)]
    assert unadmitted(lost, [RECEIPT]) == ([] if admitted else lost)
    assert unadmitted(lost, []) == lost


@pytest.mark.parametrize(("timeline", "admitted"), [(0, False), (1, True), (2, True), (3, False)])
def test_a_holder_that_died_before_it_was_writable_leaves_two_timelines(timeline: int, admitted: bool) -> None:
    receipt = {"from": {"timeline": 2, "writable": 1}, "to": {"timeline": 3, "lsn": "0/200"}}
    lost = [row(1, timeline, 0x201)]
    assert unadmitted(lost, [receipt]) == ([] if admitted else lost)


def test_what_a_thawed_machine_still_acknowledges_is_told_apart_and_bounded() -> None:
    before, pending, new = row(1, 1), row(9.995, 1), row(10, 2)
    assert after_thaw([before, pending, new], 10.0, 2) == [pending]
    with pytest.raises(AssertionError, match="after the thaw"):
        after_thaw([row(10, 1), row(12, 1)], 10.0, 2)
