"""Raw runs: one JSON line each in benchmarks/results/<date>/runs.jsonl, with what they were measured on beside it.

A comparison takes hours and may be stopped at any time: what is there with the same versions is not repeated.
"""

from __future__ import annotations

import datetime
import json
import platform
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent.parent / "results"
Run = dict[str, Any]


def machine() -> dict[str, str]:
    """What the figures depend on, and nothing that names the machine."""
    cpu = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    cores = len(re.findall(r"^processor\s*:", Path("/proc/cpuinfo").read_text(), re.MULTILINE))
    return {
        "CPU": cpu.group(1) if cpu else platform.machine(),
        "cores": str(cores),
        "memory": f"{int(memory.group(1)) / 2**20:.0f} GiB" if memory else "unknown",
        "kernel": platform.release(),
    }


def read(folder: Path) -> list[Run]:
    """All runs of a folder; a last line that was cut short is left out."""
    found = []
    try:
        lines = (folder / "runs.jsonl").read_text().splitlines()
    except FileNotFoundError:
        return []
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def current(runs: Iterable[Run]) -> list[Run]:
    """Without those that a person has marked as superseded, and said there why; they stay in the file."""
    return [run for run in runs if not run.get("superseded")]


def append(folder: Path, run: Run) -> None:
    with (folder / "runs.jsonl").open("a") as file:
        file.write(json.dumps(run) + "\n")


def versions(folder: Path) -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads((folder / "versions.json").read_text())["versions"]
    except (FileNotFoundError, ValueError, KeyError):
        return {}
    return found


def open_folder(results: Path, wanted: Mapping[str, str]) -> Path:
    """The newest folder that was measured with these versions, else a new one with today's date."""
    for folder in sorted(results.glob("20*"), reverse=True):
        if versions(folder) == dict(wanted):
            return folder
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    names = [today, *(f"{today}-{number}" for number in range(2, 100))]
    folder = next(results / name for name in names if not (results / name).exists())
    folder.mkdir(parents=True)
    text = json.dumps({"versions": dict(wanted), "machine": machine()}, indent=1)
    (folder / "versions.json").write_text(text + "\n")
    return folder


def plan(done: Iterable[Run], wanted: Mapping[str, int], contenders: Sequence[str]) -> list[tuple[str, str]]:
    """What is still to be run, as (fault, contender): interleaved, one round of everything after the other.

    Failed runs count as done: they are results. What a contender does not offer is tried once more each time.
    """
    counts = Counter((run["fault"], run["contender"]) for run in current(done) if run["outcome"] != "not run")
    rounds = max(wanted.values(), default=0)
    return [
        (fault, contender)
        for number in range(rounds)
        for fault, times in wanted.items()
        for contender in contenders
        if counts[fault, contender] <= number < times
    ]
