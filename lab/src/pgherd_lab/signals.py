"""Stopping, continuing and killing sets of processes from outside, and proving it by /proc.

From outside, because inside its own pid namespace a container's PID 1 ignores SIGSTOP. A stop is repeated until
nothing new appears and all are stopped: a process may be starting another one meanwhile.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from pgherd_lab import process
from pgherd_lab.errors import LabError

LIMIT = 10.0


def state_line(pid: int) -> str:
    """`State:\tT (stopped)` of /proc/PID/status, in one piece; empty if the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return ""
    return next((" ".join(line.split()) for line in lines if line.startswith("State:")), "")


def arguments(pid: int) -> list[str]:
    """The words of its command line; for PostgreSQL's children one word, their title; empty for a zombie."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return [word.decode(errors="replace") for word in raw.rstrip(b"\0 ").split(b"\0")] if raw else []


def program(pid: int) -> str:
    """The command's name as the kernel keeps it, at most 15 characters."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def alive(pid: int) -> bool:
    found = process.stat(pid)
    return found is not None and found.state not in "ZX"


def stopped(pid: int) -> bool:
    found = process.stat(pid)
    return found is None or found.state in "TZX"


def send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def freeze(find: Callable[[], list[int]]) -> list[int]:
    """Stop all that `find` gives, until all of them are stopped. Raises LabError after 10 s."""
    end = time.monotonic() + LIMIT
    while True:
        pids = [pid for pid in find() if alive(pid)]
        running = [pid for pid in pids if not stopped(pid)]
        if pids and not running:
            return pids
        if time.monotonic() > end:
            shown = ", ".join(f"{pid} {program(pid)} {state_line(pid)}" for pid in running[:3])
            raise LabError(f"not stopped within {LIMIT:g} s: {shown or 'there are no processes'}")
        send(running, signal.SIGSTOP)
        time.sleep(0.01)


def thaw(find: Callable[[], list[int]]) -> list[int]:
    """Continue all that `find` gives, until none is stopped. Raises LabError after 10 s."""
    end = time.monotonic() + LIMIT
    touched: set[int] = set()
    while True:
        still = [pid for pid in find() if alive(pid) and stopped(pid)]
        if not still:
            return sorted(touched)
        if time.monotonic() > end:
            raise LabError(f"still stopped after {LIMIT:g} s: {still}")
        send(still, signal.SIGCONT)
        touched |= set(still)
        time.sleep(0.01)


def kill(pids: list[int]) -> None:
    """SIGKILL, until these very processes are gone (a recycled pid has another start time)."""
    identities = {(pid, found.start) for pid in pids if (found := process.stat(pid))}
    send([pid for pid, _ in identities], signal.SIGKILL)

    def gone() -> bool:
        left = [process.stat(pid) for pid, start in identities if (s := process.stat(pid)) and s.start == start]
        return all(found is None or found.state in "ZX" for found in left)

    process.wait(gone, LIMIT, f"processes {pids} end", pause=0.005)
