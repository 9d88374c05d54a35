"""Gap, lost writes and two primaries, from rows as the writers note them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.failover import measure
from benchmarks.failover.measure import Gap, Row

A, B = "10.244.1.2", "10.244.2.2"


def row(writer: str, number: int, sent: float, acked: float | None = None, address: str = A) -> Row:
    return Row(writer, number, sent, sent + 0.01 if acked is None else acked, 1, address)


def stream(writer: str, begin: float, end: float, address: str = A, step: float = 0.1) -> list[Row]:
    """A row each `step`, from `begin` up to and including `end`."""
    count = round((end - begin) / step)
    return [row(writer, number, begin + number * step, address=address) for number in range(count + 1)]


def test_failures_and_a_line_that_was_cut_short_are_no_rows() -> None:
    whole = {"writer": "service", "id": 1, "sent": 1.0, "acked": 1.1, "timeline": 3, "address": A}
    lines = [json.dumps(whole), json.dumps({"writer": "service", "failed": 2.0, "error": "x"}), json.dumps(whole)[:30]]
    assert measure.rows(lines) == [Row("service", 1, 1.0, 1.1, 3, A)]


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        pytest.param(2.0, 12.0, Gap(5.0, 2.01), id="the gap that the fault began"),
        pytest.param(7.5, 12.0, Gap(0.1, 11.91), id="a gap before the window does not count"),
        pytest.param(2.0, 5.0, Gap(2.99, 2.01, False), id="open at the end of the window"),
    ],
)
def test_the_longest_gap(since: float, until: float, expected: Gap) -> None:
    rows = [*stream("service", 0.0, 2.0), *stream("service", 7.0, 12.0), *stream("new:b", 0.0, 12.0, B)]
    found = measure.longest_gap(rows, since, until)
    assert found.seconds == pytest.approx(expected.seconds) and found.ended == expected.ended
    if since < 5:
        assert found.began == pytest.approx(expected.began)


def test_the_silence_of_all_writers_ends_before_the_service_leads_to_the_new_primary() -> None:
    rows = [*stream("service", 0.0, 2.0), *stream("service", 7.0, 12.0, B), *stream("new:b", 4.0, 12.0, B)]
    assert measure.longest_gap(rows, 2.0, 12.0).seconds == pytest.approx(5.0)
    assert measure.longest_silence(rows, 2.0, 12.0).seconds == pytest.approx(2.0)


def test_a_client_that_never_was_acknowledged_is_one_open_gap() -> None:
    assert measure.longest_gap(stream("old:a", 0, 9), 1.0, 9.0) == Gap(8.0, 1.0, False)


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ({"a": [(0.0, 5.0)], "b": [(5.0, 9.0)]}, 0.0),
        ({"a": [(0.0, 5.0)], "b": [(4.0, 9.0)]}, 1.0),
        ({"a": [(0.0, 2.0), (6.0, 7.0)], "b": [(1.5, 6.5)]}, 1.0),
        ({"a": [(0.0, 10.0)], "b": [(2.0, 5.0)], "c": [(4.0, 6.0)]}, 4.0),
        ({"a": [(0.0, 10.0)]}, 0.0),
        ({}, 0.0),
    ],
)
def test_two_primaries_last_as_long_as_two_intervals_share(
    spans: dict[str, list[tuple[float, float]]], expected: float
) -> None:
    assert measure.overlap(spans) == pytest.approx(expected)


def two_members(**changes: Any) -> list[Row]:
    """The old primary until 5 s, the new one from 8 s on, each seen by the service's and by its own writer."""
    last = changes.get("last", 5.0)
    return [
        *stream("service", 0.0, 5.0, A), *stream("service", 8.0, 12.0, B),
        *stream("old:a", 0.0, last, A), *stream("old:b", 8.0, 12.0, B),
    ]  # fmt: skip


def test_a_clean_failover_has_no_second_primary() -> None:
    assert measure.overlap(measure.intervals(two_members())) == 0


def test_an_old_primary_that_goes_on_is_counted_from_the_new_ones_first_row() -> None:
    assert measure.overlap(measure.intervals(two_members(last=10.0))) == pytest.approx(2.01)


def test_a_frozen_primary_that_wakes_up_counts_only_for_what_it_then_accepts() -> None:
    """Its row waited from 5.1 s to 11 s for the acknowledgement; it did not accept writes all that time."""
    woken = [row("old:a", 900, 5.1, 11.0), row("old:a", 901, 11.05), row("old:a", 902, 11.1)]
    assert measure.overlap(measure.intervals([*two_members(), *woken])) == pytest.approx(0.06)


def test_a_service_row_belongs_to_the_member_whose_address_it_names() -> None:
    found = measure.intervals([*stream("service", 0, 1, A), *stream("new:a", 1, 2, A), *stream("service", 3, 4, B)])
    assert set(found) == {"a", B}


def test_lost_is_what_was_acknowledged_and_is_not_there() -> None:
    rows = [row("service", 1, 0.0), row("service", 2, 0.1), row("old:a", 2, 0.1)]
    assert measure.lost(rows, {("service", 1), ("old:a", 2), ("service", 99)}) == [rows[1]]


@pytest.mark.parametrize(
    ("values", "rank", "expected"),
    [
        ([3.0], 50, 3.0),
        ([3.0], 95, 3.0),
        ([1.0, 2.0, 3.0, 4.0], 50, 2.0),
        ([4.0, 3.0, 2.0, 1.0, 5.0], 50, 3.0),
        ([float(n) for n in range(1, 11)], 95, 10.0),
        ([float(n) for n in range(1, 41)], 95, 38.0),
        ([1.0, 2.0], 100, 2.0),
    ],
)
def test_a_percentile_is_a_value_that_was_measured(values: list[float], rank: float, expected: float) -> None:
    assert measure.percentile(values, rank) == expected
