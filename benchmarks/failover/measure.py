"""What the writers' lines say: the gap, what is lost, and how long two members accepted writes. Pure.

Times are seconds of the boot-time clock. A row's commit lies between `sent` and `acked`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

TOLERANCE = 0.25
"""Acknowledgements of one member that are at most this far apart are one interval of accepting writes. A row that
waited longer for its acknowledgement counts for this long from when it was sent: its server may have been stopped."""


@dataclass(frozen=True)
class Row:
    """One acknowledged write."""

    writer: str
    id: int
    sent: float
    acked: float
    timeline: int
    address: str


@dataclass(frozen=True)
class Gap:
    """The longest time without an acknowledged write of the client; `ended` is False if writes never came back."""

    seconds: float
    began: float
    ended: bool = True


def rows(lines: Iterable[str]) -> list[Row]:
    """Acknowledged rows; failures and a last line that was cut short are left out."""
    found = []
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if "acked" in entry:
            found.append(Row(**entry))
    return found


def through_service(acknowledged: Iterable[Row]) -> list[Row]:
    return [row for row in acknowledged if row.writer == "service"]


def longest_gap(acknowledged: Iterable[Row], since: float, until: float) -> Gap:
    """Between acknowledgements of the client through the Service; at `until` a gap that is open is counted so far.

    A gap counts if it ends after `since`, with the part before it: the client's last acknowledgement may be earlier.
    """
    return _longest(sorted(row.acked for row in through_service(acknowledged) if row.acked <= until), since, until)


def longest_silence(acknowledged: Iterable[Row], since: float, until: float) -> Gap:
    """The same for all writers together: without the time that the Service's route took to follow."""
    return _longest(sorted(row.acked for row in acknowledged if row.acked <= until), since, until)


def _longest(times: Sequence[float], since: float, until: float) -> Gap:
    if not times:
        return Gap(until - since, since, False)
    gaps = [Gap(after - before, before) for before, after in pairwise(times) if after > since]
    gaps.append(Gap(until - times[-1], times[-1], False))
    longest = max(gaps, key=lambda gap: gap.seconds)
    return longest if longest.ended or longest.seconds > 1 else Gap(longest.seconds, longest.began)


def members(acknowledged: Iterable[Row]) -> dict[str, str]:
    """Address -> member, by the rows of the writers that went to a member by name."""
    return {row.address: row.writer.partition(":")[2] for row in acknowledged if ":" in row.writer}


def intervals(acknowledged: Iterable[Row]) -> dict[str, list[tuple[float, float]]]:
    """Member -> the intervals in which it accepted writes, by whichever client."""
    acknowledged = list(acknowledged)
    names = members(acknowledged)
    spans: dict[str, list[tuple[float, float]]] = {}
    for row in acknowledged:
        name = row.writer.partition(":")[2] or names.get(row.address, row.address)
        spans.setdefault(name, []).append((row.sent, min(row.acked, row.sent + TOLERANCE)))
    return {name: merge(found) for name, found in spans.items()}


def merge(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for begin, end in sorted(spans):
        if merged and begin - merged[-1][1] <= TOLERANCE:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


def overlap(spans: Mapping[str, Sequence[tuple[float, float]]]) -> float:
    """Seconds in which at least two members accepted writes."""
    shared = [
        (max(first[0], second[0]), min(first[1], second[1]))
        for one, other in combinations(spans.values(), 2)
        for first in one
        for second in other
    ]
    total, reached = 0.0, float("-inf")
    for begin, end in sorted(span for span in shared if span[0] < span[1]):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total


def lost(acknowledged: Iterable[Row], present: set[tuple[str, int]]) -> list[Row]:
    return [row for row in acknowledged if (row.writer, row.id) not in present]


def percentile(values: Sequence[float], rank: float) -> float:
    """By nearest rank: always a value that was measured. `rank` in per cent."""
    ordered = sorted(values)
    position = -(-len(ordered) * rank // 100)
    return ordered[max(0, int(position) - 1)]
