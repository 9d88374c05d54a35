"""Putting a complete data directory in the place of another, and cleaning up what a crash left of it.

The order survives a crash at any point: data -> .old, .new -> data, divergent WAL of .old aside, .old removed.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from pgherd.postgres import configure, divergent, incarnation, outside, walhome
from pgherd.postgres.layout import Layout
from pgherd.postgres.outside import filled


async def remove(layout: Layout, directory: Path) -> None:
    """Delete a directory that is no member's data: in a thread, since it may be large."""
    await asyncio.to_thread(outside.remove, layout, directory)


async def put(layout: Layout, since: int) -> None:
    """`.new` becomes the data directory; WAL of the replaced one from `since` (bytes) on is kept aside (S5)."""
    if filled(layout.data):
        layout.data.rename(layout.old)
    layout.new.rename(layout.data)
    layout.rewinding.unlink(missing_ok=True)
    incarnation.sync_directory(layout.data.parent)
    await _drop_old(layout, since)


async def tidy(layout: Layout) -> None:
    """After a crash: the replaced directory comes back if its successor is not in place; a half-made one goes."""
    if layout.making.exists():
        # Nothing was in the data's place when the mark was made: what is there is a program's, half-done or astray.
        await asyncio.to_thread(shutil.rmtree, layout.data, ignore_errors=True)
        outside.disown(layout, layout.new)
        layout.making.unlink()
        incarnation.sync_directory(layout.state)
    await asyncio.to_thread(shutil.rmtree, layout.stray, ignore_errors=True)
    if layout.old.exists() and not filled(layout.data):
        layout.old.rename(layout.data)
        incarnation.sync_directory(layout.data.parent)
    await asyncio.to_thread(walhome.finish, layout)
    if layout.old.exists():
        await _drop_old(layout, 0)
    await remove(layout, layout.new)
    await asyncio.to_thread(outside.sweep, layout)
    configure.make_directories(layout)


async def _drop_old(layout: Layout, since: int) -> None:
    wal = layout.old / "pg_wal"
    if wal.is_dir():
        await asyncio.to_thread(divergent.keep, layout, wal, since, divergent.SEGMENT_SIZE, True)
    await remove(layout, layout.old)
