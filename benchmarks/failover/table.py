"""The table: p50, p95 and max of each fault and contender, what was lost, and which budgets were met. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.failover import faults
from benchmarks.failover.contenders import NAMES
from benchmarks.failover.measure import percentile

Run = dict[str, Any]
NOISE = 0.25
"""Seconds: an interruption that is shorter is none. What the client sees without a fault is in the table, too."""


@dataclass(frozen=True)
class Budget:
    """pgherd's own limits for a fault: seconds without writes (p95), lost writes, two primaries (0 unless said)."""

    seconds: float | None
    lost: int | None = 0
    lost_within: float = 0.0
    """Lost writes are within the budget if all were acknowledged this shortly before the new primary took over."""


TTL = 10.0
BUDGETS: Mapping[tuple[str, str], Budget] = {
    ("none", ""): Budget(NOISE),
    ("switchover", ""): Budget(0.6),
    ("delete-pod", ""): Budget(0.8),
    ("crash-agent", ""): Budget(NOISE),
    ("kill-postmaster", ""): Budget(1.5),
    ("kill-container", "first"): Budget(3.0),
    ("kill-container", "second"): Budget(5.0, None),
    ("kill-node", ""): Budget(TTL + 1, None),
    ("freeze-node", ""): Budget(None, None),
    ("cut-node", ""): Budget(TTL + 1, None),
    ("stop-api", ""): Budget(NOISE),
    ("freeze-agent", ""): Budget(TTL + 1, None),
    ("freeze-postgres", ""): Budget(TTL + 2, None),
    (faults.COLD_START, ""): Budget(12.0),
}
"""Asynchronous replication: None for `lost` where what was not sent in the last moment may be gone; it is printed."""
TITLES = {**{name: fault.title for name, fault in faults.ALL.items()}, faults.COLD_START: "cold start"}
HEADER = ("fault", "contender", "n", "failed", "p50 s", "p95 s", "max s", "lost writes", "two primaries s", "budget s",
          "")  # fmt: skip
IDLE_HEADER = ("contender", "n", "PSS a member MiB", "CPU s/min a member", "API requests/min", "of these writes",
               "mirrored slices/min")  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One line: the runs of one contender under one fault (one of its times)."""

    fault: str
    time: str
    contender: str
    gaps: Sequence[float]
    failed: int
    not_back: int
    lost: Sequence[int]
    two_primaries: Sequence[float]
    open: bool

    @property
    def n(self) -> int:
        return len(self.gaps) + self.failed


def lines(runs: Iterable[Run]) -> list[Line]:
    """In the order of the faults, then of the contenders; only what was run."""
    runs = list(runs)
    keys = [
        (fault, time, contender)
        for fault, time in BUDGETS
        for contender in NAMES
        if any(run["fault"] == fault and run["contender"] == contender for run in runs)
    ]
    return [_line(key, [run for run in runs if (run["fault"], run["contender"]) == (key[0], key[2])]) for key in keys]


def _line(key: tuple[str, str, str], runs: Sequence[Run]) -> Line:
    fault, time, contender = key
    measured = [run for run in runs if run["outcome"] == "measured"]
    gaps = [run["gaps"][time] for run in measured]
    return Line(
        fault,
        time,
        contender,
        [gap["seconds"] for gap in gaps],
        sum(run["outcome"] == "failed" for run in runs),
        sum(run.get("whole_after", 0) is None for run in measured),
        [run["lost"] for run in measured],
        [run["two_primaries"] for run in measured],
        any(not gap["ended"] for gap in gaps),
    )


def verdict(line: Line) -> str:
    """`met`, or what was missed; only pgherd has budgets. A run that failed or left a member behind misses."""
    budget = BUDGETS[line.fault, line.time]
    if line.contender != "pgherd" or line.n == 0:
        return ""
    missed = []
    if budget.seconds is not None and line.gaps and percentile(line.gaps, 95) > budget.seconds:
        missed.append("time")
    if budget.lost is not None and max(line.lost, default=0) > budget.lost:
        missed.append("lost writes")
    if budget.seconds is not None and max(line.two_primaries, default=0.0) > 0:
        missed.append("two primaries")
    if line.failed:
        missed.append(f"{line.failed} failed")
    if line.not_back:
        missed.append(f"{line.not_back} not whole again")
    if not missed:
        return "measured" if budget.seconds is None else "met"
    return f"MISSED: {', '.join(missed)}"


def cells(line: Line) -> list[str]:
    budget = BUDGETS[line.fault, line.time].seconds
    title = TITLES[line.fault] + (f": {line.time}" if line.time else "")
    head = [title, line.contender, str(line.n), str(line.failed + line.not_back) if line.n else ""]
    if not line.gaps:
        return [*head, *("-" for _ in range(5)), "", "not run" if line.n == 0 else verdict(line)]
    figures = [percentile(line.gaps, rank) for rank in (50, 95, 100)]
    shown = [f"{value:.2f}" for value in figures]
    if line.open:
        shown[2] = f"> {shown[2]}"
    return [
        *head,
        *shown,
        _span(line.lost, "d"),
        _span(line.two_primaries, ".2f"),
        "" if budget is None or line.contender != "pgherd" else "0" if budget == NOISE else f"{budget:g}",
        verdict(line),
    ]


def _span(values: Sequence[float], form: str) -> str:
    """`0`, or the least and the most."""
    least, most = format(min(values), form), format(max(values), form)
    if not any(values):
        return "0"
    return most if least == most else f"{least} to {most}"


def idle_cells(runs: Iterable[Run]) -> list[list[str]]:
    found = []
    measured = [run for run in runs if run["fault"] == faults.IDLE and run["outcome"] == "measured"]
    for contender in NAMES:
        own = [run for run in measured if run["contender"] == contender]
        if own:
            memory = [value / 2**20 for run in own for value in run["pss_bytes"].values()]
            cpu = [value for run in own for value in run["cpu_per_minute"].values()]
            api = [[run["api"][key] for run in own] for key in ("requests", "writes", "mirrored_writes")]
            shown = [_range(memory, ".1f"), _range(cpu, ".2f"), *(_range(each, ".0f") for each in api)]
            found.append([contender, str(len(own)), *shown])
    return found


def _range(values: Sequence[float], form: str) -> str:
    least, most = format(min(values), form), format(max(values), form)
    return most if least == most else f"{least} to {most}"


def idle_verdicts(runs: Iterable[Run]) -> list[str]:
    """pgherd's idle budgets: 56 MiB and 0.2 CPU seconds a minute a member, 24 writes a minute a cluster."""
    own = [
        run for run in runs if (run["fault"], run["contender"], run["outcome"]) == (faults.IDLE, "pgherd", "measured")
    ]
    if not own:
        return []
    memory = max(max(run["pss_bytes"].values()) for run in own) / 2**20
    cpu = max(max(run["cpu_per_minute"].values()) for run in own)
    worst = (
        ("memory (PSS of a member's agent and fence)", memory, 56, "MiB"),
        ("CPU of a member's agent and fence", cpu, 0.2, "s/min"),
        ("writes of the agents", max(run["api"]["writes"] for run in own), 24, "/min"),
    )
    return [
        f"{what}: {value:.2f} {unit} of {limit:g} {unit}: {'met' if value <= limit else 'MISSED'}"
        for what, value, limit, unit in worst
    ]


def markdown(header: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    rows = [header, ["---"] * len(header), *body]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def text(header: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    rows = [list(header), *map(list, body)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "".join(f"{line.rstrip()}\n" for line in padded)


def report(runs: Sequence[Run], versions: Mapping[str, str], machine: Mapping[str, str]) -> str:
    """The whole results file."""
    facts = "; ".join(f"{name} {value}" for name, value in {**versions, **machine}.items())
    parts = [
        "# Failover: pgherd and Patroni side by side\n\n",
        f"{facts}.\n\n",
        "Gap: longest time between acknowledged writes of one client through the Service. How to read this, and what "
        "it does not say: ../../README.md.\n\n",
        markdown(HEADER, [cells(line) for line in lines(runs)]),
    ]
    idle = idle_cells(runs)
    if idle:
        parts += ["\n## Idle cost\n\n", markdown(IDLE_HEADER, idle), "\n"]
        parts += [f"- {each}\n" for each in idle_verdicts(runs)]
    return "".join(parts)
