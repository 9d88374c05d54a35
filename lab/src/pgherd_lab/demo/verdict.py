"""What the writer's file, the receipt and the table say together. Pure: values in, sentences out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any


@dataclass(frozen=True)
class Row:
    """An acknowledged row. Times are seconds of the writer's monotonic clock, `lsn` is bytes."""

    id: int
    sent: float
    acknowledged: float
    wall: float
    lsn: int
    timeline: int


@dataclass(frozen=True)
class Gap:
    """The longest time without an acknowledged write."""

    seconds: float
    after: int
    before: int


def parse_lsn(text: str) -> int:
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def rows(lines: Iterable[str]) -> list[Row]:
    """Acknowledged rows of the writer's file; a last line that was cut short is no acknowledgement."""
    found = []
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if "acknowledged" in entry:
            found.append(
                Row(entry["id"], entry["sent"], entry["acknowledged"], entry["wall"],
                    parse_lsn(entry["lsn"]), entry["timeline"])
            )  # fmt: skip
    return found


def longest_gap(acknowledged: Sequence[Row]) -> Gap:
    pairs = list(pairwise(acknowledged))
    first, second = max(pairs, key=lambda pair: pair[1].acknowledged - pair[0].acknowledged)
    return Gap(second.acknowledged - first.acknowledged, first.id, second.id)


def lost(acknowledged: Sequence[Row], present: set[int]) -> list[Row]:
    return [row for row in acknowledged if row.id not in present]


def unadmitted(missing: Sequence[Row], receipts: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Lost rows that no receipt admits: a receipt says at which position (`to.lsn`) the new timeline
    left the old one (and every one since `from.writable`), so what the old primary acknowledged beyond it may be
    gone, and nothing before it."""

    def admitted(row: Row) -> bool:
        left = [(entry, entry["from"]) for entry in receipts]
        forks = [
            entry for entry, old in left if old.get("writable", old["timeline"]) <= row.timeline <= old["timeline"]
        ]
        return any(row.lsn >= parse_lsn(entry["to"]["lsn"]) for entry in forks)

    return [row for row in missing if not admitted(row)]


def instants(receipt: Mapping[str, Any], fault: float) -> list[tuple[str, float]]:
    """Seconds from the fault (wall clock) to each instant of the receipt."""
    names = ("detected", "lease", "promoted", "first_write")
    return [(name, datetime.fromisoformat(receipt[name]).timestamp() - fault) for name in names if receipt.get(name)]


def problems(
    acknowledged: Sequence[Row],
    present: set[int],
    receipts: Sequence[Mapping[str, Any]],
    timelines: tuple[int, int],
    streaming: int,
    replicas: int,
) -> list[str]:
    """Everything that makes the demonstration a failure; empty when it went well.

    `timelines` is before and after the fault, `streaming` and `replicas` count at the end.
    """
    found = []
    missing = lost(acknowledged, present)
    beyond = unadmitted(missing, receipts)
    if beyond:
        found.append(
            f"{len(beyond)} acknowledged rows are gone that no receipt admits, the first is row {beyond[0].id}"
        )
    if timelines[1] <= timelines[0]:
        found.append(f"the timeline did not rise: it was {timelines[0]} and is {timelines[1]}; nobody was promoted")
    if streaming < replicas:
        found.append(f"{streaming} of {replicas} replicas stream at the end")
    return found
