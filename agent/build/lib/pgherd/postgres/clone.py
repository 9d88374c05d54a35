"""A copy of the cluster, by pg_basebackup or a program of the user: made beside the data, renamed when complete.

The methods are tried in order; one that fails leaves nothing behind, and the next one begins anew.
"""

from __future__ import annotations

import asyncio
import shutil

from pgherd.model.methods import BASEBACKUP, Method
from pgherd.model.position import Position, fork
from pgherd.postgres import configure, divergent, histories, incarnation, outside, remote, replace, walhome
from pgherd.postgres.errors import PostgresError, WouldDestroy
from pgherd.postgres.layout import Layout, environment
from pgherd.postgres.making import Making, by_program, check_line, progress
from pgherd.postgres.run import run

NOTHING = 2**63
"""Beyond all WAL: nothing is divergent."""


async def clone(
    making: Making, conninfo: str, own: tuple[str, Position] | None, replacing: bool, methods: tuple[Method, ...]
) -> None:
    """Copy, give it a new incarnation and standby.signal, put it in place. Raises PostgresError when no method could.

    `own`: system identifier and position of the data to be replaced; None when they cannot be read.
    """
    layout = making.layout
    if outside.filled(layout.data) and not replacing:
        raise WouldDestroy(f"{layout.data} is not empty: a clone would replace it")
    configure.make_directories(layout)
    await asyncio.to_thread(walhome.finish, layout)
    await asyncio.to_thread(shutil.rmtree, layout.stray, ignore_errors=True)
    since = await _divergent_since(layout, conninfo, own) if outside.filled(layout.data) else NOTHING
    if any(method != BASEBACKUP for method in methods):
        await remote.line(conninfo)  # whom nobody can ask, no copy can be compared with
    failed: list[str] = []
    for method in methods:
        await replace.remove(layout, layout.new)
        try:
            await _copy(making, conninfo, method, since)
        except (PostgresError, OSError) as error:
            failed.append(f"{method.name}: {error}")
            if method is not methods[-1]:
                making.report(f"{failed[-1]}; trying {methods[len(failed)].name}")
            continue
        (layout.new / configure.STANDBY).touch(mode=0o600)
        incarnation.renew(layout.new)
        await replace.put(layout, since)
        return
    await replace.remove(layout, layout.new)
    raise PostgresError("; ".join(failed))


async def _copy(making: Making, conninfo: str, method: Method, since: int) -> None:
    """The complete copy is `.new`. Raises PostgresError."""
    layout = making.layout
    if method == BASEBACKUP:
        argv = [
            layout.program("pg_basebackup"), "-D", str(layout.new), "-d", conninfo, "--checkpoint=fast",
            "--wal-method=stream", "--no-password", *outside.waldir(layout),
            *outside.mappings(layout, await remote.tablespaces(conninfo)),
        ]  # fmt: skip
        async with progress(making, method.name):
            await run(argv, environment(), method.time_limit, making.volume_fd)
        return
    if method.keep_data and outside.filled(layout.data):
        # From here on they are the copy in the making: what the cluster's history lacks of them is kept first (S5).
        await asyncio.to_thread(divergent.keep, layout, layout.wal, since)
        layout.data.rename(layout.new)
        (layout.new / incarnation.NAME).unlink(missing_ok=True)
        incarnation.sync_directory(layout.data.parent)
    made = await by_program(making, method, "replica", conninfo)
    check_line(method.name, made, await remote.line(conninfo))  # the one of now: it may have been hours


async def _divergent_since(layout: Layout, conninfo: str, own: tuple[str, Position] | None) -> int:
    """From where the replaced WAL is not the source's; 0 (keep all) when that cannot be known."""
    if own is None:
        return 0
    system_identifier, position = own
    try:
        source = await remote.line(conninfo)
    except PostgresError:
        return 0
    if source.system_identifier != system_identifier:
        return 0
    history = histories.read(layout.wal, position.timeline)
    since = fork(position, history, source.timeline, source.history)
    return NOTHING if since is None else since
