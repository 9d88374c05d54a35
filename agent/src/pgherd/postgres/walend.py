"""Where the WAL of a stopped server ends: pg_control knows only its last checkpoint.

pg_waldump reads records from there until the first that is not valid; that place is the end, which matters for
ranking after a power loss (S2) and for seeing that an old primary has diverged (S5).
"""

from __future__ import annotations

import asyncio
import re

from pgherd.model.position import Position, format_lsn, parse_lsn
from pgherd.postgres import histories
from pgherd.postgres.control import ControlData
from pgherd.postgres.errors import ToolFailed
from pgherd.postgres.layout import Layout, environment
from pgherd.postgres.run import run

LIMIT = 120.0
"""Seconds for reading everything since the last checkpoint."""
_END = re.compile(r" at ([0-9A-F]+/[0-9A-F]+)")
_LENGTH = re.compile(r"len \(rec/tot\): +\d+/ *(\d+)")
_PAGE, _LONG_HEADER, _SHORT_HEADER, _ALIGNMENT = 8192, 40, 24, 8


def after_record(start: int, length: int, segment_size: int) -> int:
    """Where a record of `length` bytes that starts at `start` ends: page headers lie in between, ends are aligned."""
    position = start
    while True:
        left = _PAGE - position % _PAGE
        if length <= left:
            return min(position + length + -(position + length) % _ALIGNMENT, position + left)
        length -= left
        position += left
        position += _LONG_HEADER if position % segment_size == 0 else _SHORT_HEADER


async def find(layout: Layout, control: ControlData) -> Position:
    """The end of the newest own WAL. Falls back to what pg_control guarantees."""
    timeline = histories.newest_own(layout.wal, control.position)
    start = control.checkpoint.lsn
    if timeline != control.checkpoint.timeline:
        start = max([start, *(ancestor.end for ancestor in histories.read(layout.wal, timeline))])
    said = await _dump(layout, timeline, start, "-q")
    places = [parse_lsn(lsn) for lsn in _END.findall(said)]
    end = max(places, default=start)
    if len(places) == 1 and (length := _LENGTH.search(await _dump(layout, timeline, end, "-n1"))):
        end = after_record(end, int(length[1]), control.segment_size)  # it named only the last record's start
    least = control.position
    return Position(timeline, max(end, least.lsn) if timeline == least.timeline else end)


async def _dump(layout: Layout, timeline: int, start: int, option: str) -> str:
    argv = [layout.program("pg_waldump"), option, "-p", str(layout.wal), "-t", str(timeline), "-s", format_lsn(start)]
    try:
        return await run(argv, environment(), LIMIT, accepted=frozenset({0, 1}))
    except ToolFailed:
        return ""


class WalEnd:
    """The end for one state of pg_control, found in the background so that an observation never waits for it."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._control: ControlData | None = None
        self._task: asyncio.Task[Position] | None = None

    async def position(self, control: ControlData, patience: float) -> Position:
        """The end, or after `patience` seconds what pg_control guarantees until it is known."""
        if control != self._control or self._task is None:
            self.forget()
            self._control = control
            self._task = asyncio.create_task(find(self._layout, control))
        done, _ = await asyncio.wait({self._task}, timeout=patience)
        return self._task.result() if done and not self._task.exception() else control.position

    def forget(self) -> None:
        """The files may change: what was found no longer holds."""
        if self._task:
            self._task.cancel()
        self._task = None
