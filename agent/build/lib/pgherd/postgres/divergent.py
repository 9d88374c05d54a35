"""WAL that the cluster's history does not contain, kept aside before anything overwrites it (S5).

A person may find commits in it that were acknowledged and lost. Nothing here is ever deleted by pgherd.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from pgherd.model.position import format_lsn
from pgherd.postgres import histories, incarnation
from pgherd.postgres.errors import ToolFailed
from pgherd.postgres.layout import Layout, environment
from pgherd.postgres.run import run

SEGMENT_SIZE = 16 * 1024 * 1024
SEGMENT_NAME = 24
"""Characters; a longer name is a partial segment's, or a backup label's: kept as well."""
SUMMARY_LIMIT = 30.0


def keep(layout: Layout, wal: Path, since: int, segment_size: int = SEGMENT_SIZE, move: bool = False) -> Path | None:
    """Copy (or move, within the volume) the segments that reach beyond `since`, with all histories; where they are."""
    chosen = []
    for path in sorted(wal.iterdir()):
        number = histories.segment_number(path.name[:SEGMENT_NAME], segment_size)
        if number is not None and number >= since // segment_size:
            chosen.append(path)
    if not chosen:
        return None
    target = _place(layout, wal, move) / time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    target.mkdir(parents=True, exist_ok=True)
    for path in (*chosen, *wal.glob("*.history")):
        if move:
            path.rename(target / path.name)
        else:
            _copy(path, target / path.name)
    incarnation.write_durably(target / "since", f"{format_lsn(since)}\n")
    return target


def _place(layout: Layout, wal: Path, move: bool) -> Path:
    """Beside the state; what is moved stays on its volume, since that takes no space and cannot fail for want of it."""
    there = Path(os.path.realpath(wal))
    if move and there.stat().st_dev != layout.state.stat().st_dev:
        return there.parent / layout.divergent.name
    return layout.divergent


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())


async def summarise(layout: Layout, kept: Path, timeline: int, since: int) -> None:
    """What kinds of records are in there, for a person. Best effort: the WAL itself is what counts."""
    argv = [layout.program("pg_waldump"), "--stats", "-p", str(kept), "-t", str(timeline), "-s", format_lsn(since)]
    try:
        text = await run(argv, environment(), SUMMARY_LIMIT, accepted=frozenset({0, 1}))
    except ToolFailed as error:
        text = f"{error}\n"
    (kept / "summary.txt").write_text(text)
