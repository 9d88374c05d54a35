"""Moves an existing pg_wal to the volume that the settings name, or back, before PostgreSQL is started.

A crash at any point loses nothing: the copy is complete and durable before it takes the place, what it replaces goes
last, and the next call goes on where this one stopped. `waiting` is a finished pg_wal (a directory or a link) about to
take the place, `replaced` the one that has left it; both are outside the data directory, which pg_rewind reads.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from pgherd.postgres import incarnation, outside
from pgherd.postgres.errors import StartFailed
from pgherd.postgres.layout import Layout

T = TypeVar("T")


async def settle(layout: Layout) -> None:
    """pg_wal where the settings say. PostgreSQL is stopped. Raises StartFailed when its volume is not there."""
    source = await _whole(lambda: _misplaced(layout))
    if source is None:
        return
    making = layout.state / "pg_wal.moving"
    if layout.wal_home is not None:
        making = layout.wal_home.with_name(f"{layout.wal_home.name}.moving")
    await _copy(source, making)
    await _whole(lambda: _swap(layout, making))


def _misplaced(layout: Layout) -> Path | None:
    """Where pg_wal is now; None when it is right there."""
    finish(layout)
    source = Path(os.path.realpath(layout.wal))
    if not source.is_dir():
        raise StartFailed(f"{layout.wal} leads to {source}, which is not there: is the WAL volume mounted?")
    return None if in_place(layout, source) else source


def in_place(layout: Layout, wal: Path) -> bool:
    """Without a WAL volume it may also be beside the data directory, where others have put it."""
    home = layout.data if layout.wal_home is None else layout.wal_home
    return wal.is_relative_to(os.path.realpath(home.parent))


async def _copy(source: Path, target: Path) -> None:
    """Every file durable, and nothing else there. What an earlier attempt has copied is known by its size and time."""
    for folder, folders, names in os.walk(source):
        there = target / Path(folder).relative_to(source)
        there.mkdir(mode=0o700, parents=True, exist_ok=True)
        await _whole(partial(_prune, there, {*folders, *names}))
        for name in names:
            await _whole(partial(_copy_file, Path(folder, name), there / name))
        await _whole(partial(incarnation.sync_directory, there))


def _prune(folder: Path, names: set[str]) -> None:
    """A segment or history that the source has no more would mislead recovery."""
    for path in folder.iterdir():
        if path.name not in names:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _copy_file(source: Path, target: Path) -> None:
    wanted = source.stat()
    if target.exists():
        there = target.stat()
        if (there.st_size, there.st_mtime_ns) == (wanted.st_size, wanted.st_mtime_ns):
            return
    shutil.copyfile(source, target)
    target.chmod(0o600)
    with target.open("rb") as file:
        os.fsync(file.fileno())
    os.utime(target, ns=(wanted.st_atime_ns, wanted.st_mtime_ns))


def _waiting(layout: Layout) -> Path:
    return layout.state / "pg_wal.waiting"


def _replaced(layout: Layout) -> Path:
    return layout.state / "pg_wal.replaced"


def _swap(layout: Layout, made: Path) -> None:
    waiting = _waiting(layout)
    if layout.wal_home is None:
        made.rename(waiting)
    else:
        home = outside.fresh(layout.wal_home)
        waiting.symlink_to(home)  # before its target: what has its name is never left without a link
        made.rename(home)
        incarnation.sync_directory(home.parent)
    incarnation.sync_directory(layout.state)
    layout.wal.rename(_replaced(layout))
    finish(layout)


def finish(layout: Layout) -> None:
    """From wherever a crash left it: the finished one into the empty place, then away with what is left over."""
    waiting, replaced = _waiting(layout), _replaced(layout)
    if not layout.data.is_dir():
        return
    if os.path.lexists(replaced) and not os.path.lexists(layout.wal):
        (waiting if waiting.exists() else replaced).rename(layout.wal)
        incarnation.sync_directory(layout.data)
        incarnation.sync_directory(layout.state)
    for path in (waiting, replaced):
        if path.is_symlink():
            target = Path(os.path.realpath(path))
            if target != Path(os.path.realpath(layout.wal)):
                shutil.rmtree(target, ignore_errors=True)
            path.unlink()
        elif path.exists():
            shutil.rmtree(path)


async def _whole(work: Callable[[], T]) -> T:
    """In a thread; who gives up waits until it has ended: nothing may move a directory beside what comes next."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
