"""Daemons of the lab: started in sessions of their own, remembered by pid and start time, ended by exactly that.

A record outlives the command that wrote it; the daemon outlives it too. A pid that the kernel gave to somebody
else since is never signalled, because its start time differs.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pgherd_lab.errors import LabError


@dataclass(frozen=True)
class Stat:
    """The fields of /proc/PID/stat that the lab uses; `start` is in clock ticks since boot."""

    state: str
    parent: int
    start: int


@dataclass(frozen=True)
class Record:
    """One daemon: who it is, in a way that a recycled pid cannot match."""

    name: str
    pid: int
    start: int
    boot: str
    log: str


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def parse_stat(text: str) -> Stat:
    """The command name may contain spaces and parentheses, so that fields count from its last one."""
    fields = text[text.rindex(")") + 2 :].split()
    return Stat(state=fields[0], parent=int(fields[1]), start=int(fields[19]))


def stat(pid: int) -> Stat | None:
    """None if there is no such process."""
    try:
        return parse_stat(Path(f"/proc/{pid}/stat").read_text())
    except (OSError, ValueError):
        return None


def alive(record: Record) -> bool:
    """Whether this very process still runs; a zombie does not."""
    found = stat(record.pid)
    return bool(found and found.start == record.start and found.state not in "ZX" and record.boot == boot_id())


def load(folder: Path) -> list[Record]:
    """All records of a lab, oldest first; an unreadable one is left out."""
    records = []
    for path in sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns):
        try:
            records.append(Record(**json.loads(path.read_text())))
        except (ValueError, TypeError):
            continue
    return records


def find(folder: Path, name: str) -> Record | None:
    return next((record for record in load(folder) if record.name == name), None)


def start(
    folder: Path, name: str, command: Sequence[str], log: Path, *,
    listener: int | None = None, environment: Mapping[str, str] | None = None,
) -> Record:  # fmt: skip
    """Start a daemon with its output in `log` (appended) and, if given, a listening socket as descriptor 3."""
    log.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    if listener is not None:
        actions.append((os.POSIX_SPAWN_DUP2, listener, 3))
    variables = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})}
    try:
        pid = os.posix_spawnp(command[0], list(command), variables, file_actions=actions, setsid=True)
    except FileNotFoundError:
        raise LabError(f"{command[0]} is not installed; 'pgherd-lab doctor --install' installs it") from None
    found = stat(pid)
    record = Record(name, pid, found.start if found else 0, boot_id(), str(log))
    path = folder / f"{name}.json"
    path.with_suffix(".new").write_text(json.dumps(asdict(record)))
    path.with_suffix(".new").rename(path)
    return record


def send(record: Record, number: signal.Signals) -> bool:
    """Signal the process unless it is gone or its pid belongs to another now."""
    if not alive(record):
        return False
    try:
        os.kill(record.pid, number)
    except ProcessLookupError:
        return False
    return True


def reap(pid: int) -> None:
    """Collect a daemon that this very process started; others' children are their parents' affair."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass


def stop(folder: Path, records: Sequence[Record], grace: float = 2.0) -> None:
    """End daemons: SIGTERM, and SIGKILL after `grace` seconds (0: at once); removes their records."""
    first = signal.SIGTERM if grace else signal.SIGKILL
    for record in records:
        send(record, first)
    end = time.monotonic() + grace
    while time.monotonic() < end and any(alive(record) for record in records):
        time.sleep(0.02)
    for record in records:
        send(record, signal.SIGKILL)
    wait(lambda: not any(alive(record) for record in records), 10, "the lab's processes end")
    for record in records:
        reap(record.pid)
        (folder / f"{record.name}.json").unlink(missing_ok=True)


def tail(log: str | Path, lines: int = 8) -> str:
    """The last lines of a log, with where to read the rest."""
    try:
        text = Path(log).read_text(errors="replace").strip().splitlines()[-lines:]
    except OSError:
        text = []
    return "\n".join([*(f"    {line[:400]}" for line in text), f"  (log: {log})"])


def wait(
    check: Callable[[], bool], limit: float, what: str, records: Sequence[Record] = (), pause: float = 0.05
) -> None:
    """Until `check` holds. Raises LabError at the limit (seconds), or as soon as a needed daemon is dead."""
    end = time.monotonic() + limit
    while not check():
        for record in records:
            if not alive(record):
                raise LabError(f"{what}: {record.name} ended\n{tail(record.log)}")
        if time.monotonic() > end:
            shown = "".join("\n" + tail(record.log) for record in records[:3])
            raise LabError(f"{what}: not within {limit:g} s{shown}")
        time.sleep(pause)


def run(
    command: Sequence[str], limit: float = 60, *, stdin: str | None = None, check: bool = True,
    environment: Mapping[str, str] | None = None, folder: Path | None = None,
) -> str:  # fmt: skip
    """Standard output of a short command; LabError with the end of what it printed if it fails or hangs."""
    shown = " ".join(command[:6])
    try:
        done = subprocess.run(
            list(command), input=stdin or "", capture_output=True, text=True, timeout=limit, check=False, cwd=folder,
            env={**os.environ, **environment} if environment else None,
        )  # fmt: skip
    except FileNotFoundError:
        raise LabError(f"{command[0]} is not installed; 'pgherd-lab doctor --install' installs it") from None
    except subprocess.TimeoutExpired:
        raise LabError(f"{shown} did not end within {limit:g} s") from None
    if check and done.returncode:
        raise LabError(f"{shown} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-1500:]}")
    return done.stdout


def logged(command: Sequence[str], log: Path, limit: float, *, environment: Mapping[str, str] | None = None) -> None:
    """Run a long command with all its output in `log`; LabError with the end of it if it fails or hangs."""
    log.parent.mkdir(parents=True, exist_ok=True)
    variables = {**os.environ, **(environment or {})}
    with log.open("w") as kept:
        try:
            done = subprocess.run(
                list(command), stdin=subprocess.DEVNULL, stdout=kept, stderr=subprocess.STDOUT,
                timeout=limit, check=False, env=variables,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise LabError(f"{command[0]} did not end within {limit:g} s\n{tail(log, 15)}") from None
    if done.returncode:
        raise LabError(f"{command[0]} ended with {done.returncode}\n{tail(log, 15)}")
