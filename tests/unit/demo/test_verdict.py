"""The demonstration's verdict must be able to fail, in each of its ways."""

from __future__ import annotations

import json

from pgherd_lab.demo.verdict import Row, instants, longest_gap, problems, rows, unadmitted

RECEIPT = {
    "from": {"member": "a", "timeline": 1, "lsn": "0/5000000"},
    "to": {"member": "b", "timeline": 2, "lsn": "0/4000000"},
    "detected": "2026-01-01T00:00:10+00:00",
    "first_write": "2026-01-01T00:00:11+00:00",
}


def row(number: int, at: float, lsn: int = 0x1000000, timeline: int = 1) -> Row:
    return Row(number, at - 0.001, at, at, lsn, timeline)


GOOD = [row(1, 1.0), row(2, 2.0), row(3, 12.5, timeline=2), row(4, 12.6, timeline=2)]


def test_a_good_failover_has_no_problem() -> None:
    assert problems(GOOD, {1, 2, 3, 4}, [RECEIPT], (1, 2), 2, 2) == []


def test_a_missing_row_before_the_fork_is_a_problem() -> None:
    found = problems(GOOD, {1, 3, 4}, [RECEIPT], (1, 2), 2, 2)
    assert len(found) == 1 and "row 2" in found[0]


def test_a_missing_row_beyond_the_fork_is_what_the_receipt_admits() -> None:
    beyond = [row(1, 1.0), row(2, 2.0, lsn=0x4000000)]
    assert problems(beyond, {1}, [RECEIPT], (1, 2), 2, 2) == []


def test_a_receipt_of_another_timeline_admits_nothing() -> None:
    assert unadmitted([row(2, 2.0, lsn=0x4000000, timeline=2)], [RECEIPT])


def test_no_failover_is_a_problem() -> None:
    found = problems(GOOD[:2], {1, 2}, [], (1, 1), 2, 2)
    assert found == ["the timeline did not rise: it was 1 and is 1; nobody was promoted"]


def test_a_replica_that_does_not_stream_is_a_problem() -> None:
    assert problems(GOOD, {1, 2, 3, 4}, [RECEIPT], (1, 2), 1, 2) == ["1 of 2 replicas stream at the end"]


def test_the_gap_is_between_acknowledgements() -> None:
    gap = longest_gap(GOOD)
    assert (gap.seconds, gap.after, gap.before) == (10.5, 2, 3)


def test_rows_are_only_those_acknowledged_and_whole() -> None:
    good = {"id": 7, "sent": 1.0, "acknowledged": 1.1, "wall": 5.0, "lsn": "0/10", "timeline": 3, "address": "x"}
    text = [json.dumps(good), json.dumps({"id": 8, "failed": 2.0, "error": "no"}), '{"id": 9, "ackno']
    assert rows(text) == [Row(7, 1.0, 1.1, 5.0, 16, 3)]


def test_instants_are_seconds_after_the_fault() -> None:
    fault = 1767225600.0
    assert instants(RECEIPT, fault) == [("detected", 10.0), ("first_write", 11.0)]
