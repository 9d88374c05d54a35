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
    """The end of the newest own WAL. Raises ToolFailed when it cannot be read."""
    timeline = histories.newest_own(layout.wal, control.position)
    start = control.checkpoint.lsn
    if timeline != control.checkpoint.timeline:
        start = max([start, *(ancestor.end for ancestor in histories.read(layout.wal, timeline))])
    stop = _last_byte(layout, timeline, start, control.segment_size)
    said = await _dump(layout, timeline, start, "-q", "-e", format_lsn(stop))
    places = [parse_lsn(lsn) for lsn in _END.findall(said)]
    if not places and said.strip() and start == control.checkpoint.lsn:
        raise ToolFailed("pg_waldump", "does not find the last checkpoint", said[-500:])
    # Nothing said: every record up to the end of the last segment is valid.
    end = max(places) if places else start if said.strip() else stop
    if len(places) == 1 and (length := _LENGTH.search(await _dump(layout, timeline, end, "-n1"))):
        end = after_record(end, int(length[1]), control.segment_size)  # it named only the last record's start
    least = control.position
    return Position(timeline, max(end, least.lsn) if timeline == least.timeline else end)


def _last_byte(layout: Layout, timeline: int, start: int, segment_size: int) -> int:
    """Where the unbroken row of segments from `start` on ends: pg_waldump waits five seconds for one more."""
    there, number = histories.segments(layout.wal, timeline, segment_size), start // segment_size
    if number not in there:
        raise ToolFailed("pg_waldump", f"the segment of {format_lsn(start)} on timeline {timeline} is not there", "")
    while number + 1 in there:
        number += 1
    return (number + 1) * segment_size


async def _dump(layout: Layout, timeline: int, start: int, *options: str) -> str:
    argv = [layout.program("pg_waldump"), *options, "-p", str(layout.wal), "-t", str(timeline), "-s", format_lsn(start)]
    return await run(argv, environment(), LIMIT, accepted=frozenset({0, 1}))


class WalEnd:
    """The end for one state of pg_control, found in the background so that an observation never waits for it."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._control: ControlData | None = None
        self._task: asyncio.Task[Position] | None = None

    async def position(self, control: ControlData, patience: float) -> tuple[Position | None, bool]:
        """The end and True; None and True while it is not known after `patience` seconds.

        What pg_control guarantees and False when the end cannot be found: whether it diverged cannot be said then.
        """
        if control != self._control or self._task is None:
            self.forget()
            self._control = control
            self._task = asyncio.create_task(find(self._layout, control))
        task = self._task
        await asyncio.wait({task}, timeout=patience)
        if not task.done() or task.cancelled():  # cancelled: forgotten meanwhile, since a start or a clone began
            return None, True
        failed = task.exception() is not None
        return (control.position, False) if failed else (task.result(), True)

    def forget(self) -> None:
        """The files may change: what was found no longer holds."""
        if self._task:
            self._task.cancel()
        self._task = None
