"""Timeline history files in pg_wal: which exist, what they say, and which must not mislead recovery.

Recovery with recovery_target_timeline=latest starts by taking the highest number in an unbroken row of history
files above pg_control's timeline, whatever they contain, and refuses to run if that one is not its own future.
https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-TIMELINES
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from pgherd.model.position import History, Position, contains, parse_history

HISTORY = re.compile(r"([0-9A-F]{8})\.history")
SEGMENT = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})")


def file_name(timeline: int) -> str:
    return f"{timeline:08X}.history"


def timelines(wal: Path) -> frozenset[int]:
    """Numbers of all history files and segments, skipped numbers included: a new timeline must be above all."""
    matches = (HISTORY.fullmatch(name) or SEGMENT.fullmatch(name) for name in _names(wal))
    return frozenset(int(match[1], 16) for match in matches if match)


def segments(wal: Path, timeline: int, segment_size: int) -> frozenset[int]:
    """Numbers (position in bytes / segment size) of the WAL segments of one timeline."""
    prefix = f"{timeline:08X}"
    numbers = (segment_number(name, segment_size) for name in _names(wal) if name.startswith(prefix))
    return frozenset(number for number in numbers if number is not None)


def segment_number(name: str, segment_size: int) -> int | None:
    """Which segment of its timeline a file is, from 0; None when it is none."""
    match = SEGMENT.fullmatch(name)
    return int(match[2], 16) * (2**32 // segment_size) + int(match[3], 16) if match else None


def read(wal: Path, timeline: int) -> History:
    """The ancestors of `timeline`; empty for 1, for a skipped number and for an unknown one."""
    try:
        return parse_history((wal / file_name(timeline)).read_text(errors="replace"))
    except (FileNotFoundError, ValueError):
        return ()


def newest_own(wal: Path, known: Position) -> int:
    """The newest timeline that this data has WAL of: pg_control's, or a descendant with a segment here.

    pg_control follows a standby's timeline only at restart points; segments show what was received since.
    """
    with_segments = {int(match[1], 16) for name in _names(wal) if (match := SEGMENT.fullmatch(name))}
    later = (timeline for timeline in with_segments if timeline > known.timeline)
    return max((t for t in later if (h := read(wal, t)) and contains(h, t, known)), default=known.timeline)


def _names(wal: Path) -> list[str]:
    try:
        return [path.name for path in wal.iterdir()]
    except FileNotFoundError:
        return []


def prepare_recovery(wal: Path, known: Position) -> None:
    """Before any start in recovery: leave only what leads from pg_control's timeline to our newest own one.

    Files of numbers above it (skipped ones, other branches) are removed; gaps below it are filled with empty
    files, since the server stops searching at the first missing number.
    """
    newest = newest_own(wal, known)
    for name in _names(wal):
        match = HISTORY.fullmatch(name)
        if match and int(match[1], 16) > newest:
            (wal / name).unlink(missing_ok=True)
    skip(wal, known.timeline + 1, newest)


def skip(wal: Path, first: int, end: int) -> None:
    """An empty history file for each missing number in [first, end): a number that no timeline may take.

    Durable before promotion, without a .ready file: they are never archived, and replicas fetch them.
    """
    for timeline in range(first, end):
        try:
            fd = os.open(wal / file_name(timeline), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            continue
        os.fsync(fd)
        os.close(fd)
    directory = os.open(wal, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)
