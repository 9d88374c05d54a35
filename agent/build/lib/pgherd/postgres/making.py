"""A data directory made by a program of the user, beside the place of the data; and whether it may be put there.

Whatever happens to the program, nothing half-made is ever started: it is told to work in `.new`, which is removed when
found; while it runs the data's own place is empty and marked, so that what a program puts there all the same is no
data either. What it leaves has to be of this cluster (S6) and on the leader's line (S5).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import msgspec

from pgherd.model.methods import Method
from pgherd.model.standby import RemoteLine
from pgherd.postgres import configure, control, incarnation, outside
from pgherd.postgres.control import ControlData
from pgherd.postgres.errors import PostgresError, ToolFailed
from pgherd.postgres.layout import Layout, environment
from pgherd.postgres.outside import filled
from pgherd.postgres.run import run

EVERY = 30.0
"""Seconds between two words on the progress."""
SYNC_LIMIT = 3600.0
KEPT = 2000
"""Characters of the program's output that are logged."""
MEBIBYTE = 1024 * 1024
NOT_COPIED = ("postmaster.pid", "postmaster.opts", configure.STANDBY, configure.RECOVERY)

Report = Callable[[str], None]


class Making(msgspec.Struct, frozen=True):
    """What all ways to make a data directory need."""

    layout: Layout
    scope: str
    """Name of the cluster."""
    volume_fd: int | None
    report: Report
    """A line for the log."""


async def by_program(making: Making, method: Method, role: str, connstring: str | None) -> ControlData:
    """The complete directory is `.new`. Raises PostgresError; then nothing of it is left in the data's place."""
    layout = making.layout
    parameters = {"scope": making.scope, "role": role, "datadir": str(layout.new), "connstring": connstring}
    given = {} if method.no_params else {name: value for name, value in parameters.items() if value is not None}
    argv = [*shlex.split(method.command), *(f"--{name}={value}" for name, value in (*given.items(), *method.arguments))]
    environ = {**os.environ, "PGDATA": str(layout.new)}
    with vacated(layout):
        try:
            async with progress(making, method.name):
                output = await run(argv, environ, method.time_limit, making.volume_fd)
        except OSError as error:
            raise ToolFailed(method.name, f"cannot be started: {error.strerror}: {argv[0]}", "") from None
        finally:
            strange = outside.disown(layout, layout.new)
        if output.strip():
            making.report(f"{method.name} says: {output[-KEPT:].strip()}")
        check_links(layout, method, strange)
        found = await usable(layout, method.name)
    await asyncio.to_thread(_clean, layout.new)
    await run([layout.program("initdb"), "--sync-only", "-D", str(layout.new)], environment(), SYNC_LIMIT,
              making.volume_fd)  # fmt: skip
    return found


@contextlib.contextmanager
def vacated(layout: Layout) -> Iterator[None]:
    """The place of the data is empty, and what comes there meanwhile is not left there. What was there comes back."""
    moved = filled(layout.data)
    if moved:
        layout.data.rename(layout.old)
        incarnation.sync_directory(layout.data.parent)
    incarnation.write_durably(layout.making, "")
    stray = False
    try:
        yield
    finally:
        stray = filled(layout.data)
        if stray:
            shutil.rmtree(layout.stray, ignore_errors=True)
            layout.data.rename(layout.stray)
        layout.making.unlink(missing_ok=True)
        incarnation.sync_directory(layout.state)
        if moved:
            with contextlib.suppress(OSError):
                layout.data.rmdir()
            layout.old.rename(layout.data)
            incarnation.sync_directory(layout.data.parent)
    if stray:
        raise PostgresError(f"the method wrote to {layout.data}: it must write to --datadir, which PGDATA names, too")


@contextlib.asynccontextmanager
async def progress(making: Making, what: str) -> AsyncIterator[None]:
    """Says again and again how much the volume has filled."""

    def used() -> int:
        there = os.statvfs(making.layout.data.parent)
        return (there.f_blocks - there.f_bfree) * there.f_frsize // MEBIBYTE

    async def tell(before: int) -> None:
        passed = 0.0
        while True:
            await asyncio.sleep(EVERY)
            passed += EVERY
            with contextlib.suppress(OSError):
                making.report(f"{what} runs since {passed:.0f} s: the volume holds {used() - before:+d} MiB")

    telling = asyncio.create_task(tell(used()), name="progress")
    try:
        yield
    finally:
        telling.cancel()


def check_links(layout: Layout, method: Method, strange: tuple[Path, ...]) -> None:
    """Raises PostgresError for a copy with WAL or tablespaces in places that are not this member's, or in use."""
    used = outside.linked(layout.new) & (outside.linked(layout.old) | outside.linked(layout.data))
    wrong = [*strange, *(() if method.keep_data else sorted(used))]
    if wrong:
        places = ", ".join(map(str, wrong))
        raise PostgresError(f"{method.name} made links to {places}: must be free places of this member's own volumes")


async def usable(layout: Layout, name: str) -> ControlData:
    """What pg_control of `.new` says. Raises PostgresError where no server of this version could use it."""
    try:
        version = (layout.new / "PG_VERSION").read_text().strip()
    except OSError:
        raise PostgresError(f"{name} left no data directory in {layout.new}") from None
    if version != str(layout.settings.version):
        raise PostgresError(f"{name} made data of PostgreSQL {version}: must be of {layout.settings.version}")
    if not (layout.new / "pg_wal").is_dir() or layout.new.is_symlink():
        raise PostgresError(f"{name}: {layout.new} and its pg_wal must be directories")
    found = await control.read(layout, layout.new)
    if found is None:
        raise PostgresError(f"{name}: pg_controldata cannot read what it left in {layout.new}")
    return found


def check_line(name: str, copy: ControlData, source: RemoteLine) -> None:
    """Raises PostgresError for a copy that could not follow the leader: another cluster's (S6), or diverged (S5)."""
    if copy.system_identifier != source.system_identifier:
        raise PostgresError(
            f"{name} made a copy of another cluster (S6): system identifier {copy.system_identifier},"
            f" and the leader's is {source.system_identifier}"
        )
    ends = {each.timeline: each.end for each in source.history}
    end = 2**64 if copy.timeline == source.timeline else ends.get(copy.timeline, 0)
    if copy.position.lsn > end:
        raise PostgresError(f"{name} made a copy at {copy.position}, which is not on the leader's line (S5)")


def _clean(new: Path) -> None:
    """As pg_basebackup would have left it: no word of the server that it was copied from, none of its slots."""
    new.chmod(0o700)
    for name in NOT_COPIED:
        (new / name).unlink(missing_ok=True)
    for slot in (new / "pg_replslot").glob("*"):
        shutil.rmtree(slot)
