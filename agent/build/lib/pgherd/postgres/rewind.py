"""pg_rewind: turns a diverged data directory into one of the source's line, after its own WAL was kept aside (S5).

https://www.postgresql.org/docs/current/app-pgrewind.html
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from pgherd.model.position import fork
from pgherd.postgres import configure, divergent, histories, incarnation, remote, walend
from pgherd.postgres.control import ControlData, ControlReader
from pgherd.postgres.errors import PostgresError, ToolFailed
from pgherd.postgres.layout import Layout, environment
from pgherd.postgres.link import FenceLink
from pgherd.postgres.run import run

LIMIT = 6 * 3600.0
RECOVERY_LIMIT = 3600.0
CHANGES = "rewinding from last common checkpoint"
"""Once pg_rewind has said this it may have changed files; before, the directory is as it was."""


async def rewind(layout: Layout, reader: ControlReader, link: FenceLink, conninfo: str) -> None:
    """Raises PostgresError; a directory that pg_rewind left half-done shows as broken from then on."""
    control = await _shut_down_cleanly(layout, reader, link)
    await remote.settle(conninfo)
    await _keep_aside(layout, control, conninfo)
    argv = [
        layout.program("pg_rewind"), "-D", str(layout.data), "--source-server", conninfo, "--no-ensure-shutdown",
    ]  # fmt: skip
    incarnation.write_durably(layout.rewinding, "")
    try:
        await run(argv, environment(), LIMIT, link.volume_fd)
    except ToolFailed as error:
        if CHANGES not in error.output and error.output:
            layout.rewinding.unlink()
        raise
    configure.mark_standby(layout)
    incarnation.renew(layout.data)
    layout.rewinding.unlink()
    incarnation.sync_directory(layout.state)


async def _shut_down_cleanly(layout: Layout, reader: ControlReader, link: FenceLink) -> ControlData:
    """pg_rewind wants a clean shutdown: after a crash single-user recovery makes one, through the fence."""
    control = await reader.read()
    if control is None:
        raise PostgresError(f"{layout.data}: pg_controldata cannot read it; it can only be replaced by a clone")
    if control.clean:
        return control
    configure.mark_primary(layout)  # single-user mode refuses to be a standby
    output = layout.temporary / "single-user.log"
    argv = [
        layout.program("postgres"), "--single", "-D", str(layout.data), "-c", "archive_mode=off",
        "-c", "restore_command=", "template1",
    ]  # fmt: skip
    try:
        status = await link.single(argv, environment(), str(output), RECOVERY_LIMIT)
    except TimeoutError:
        raise ToolFailed("postgres --single", f"did not end within {RECOVERY_LIMIT:g} s", _tail(output)) from None
    finally:
        configure.mark_standby(layout)
    control = await reader.read()
    if status or control is None or not control.clean:
        raise ToolFailed("postgres --single", f"ended with status {status}", _tail(output))
    return control


def _tail(output: Path) -> str:
    try:
        return output.read_text(errors="replace")[-4000:]
    except OSError:
        return ""


async def _keep_aside(layout: Layout, control: ControlData, conninfo: str) -> None:
    own = await walend.find(layout, control)
    source = await remote.line(conninfo)
    since = fork(own, histories.read(layout.wal, own.timeline), source.timeline, source.history)
    if since is None:
        return
    kept = await asyncio.to_thread(divergent.keep, layout, layout.wal, since, control.segment_size)
    if kept:
        await divergent.summarise(layout, kept, own.timeline, since)
