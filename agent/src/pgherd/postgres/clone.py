"""pg_basebackup from another member, made beside the data directory and renamed when complete."""

from __future__ import annotations

import asyncio

from pgherd.model.position import Position
from pgherd.postgres import configure, divergent, histories, incarnation, outside, remote, replace, walhome
from pgherd.postgres.errors import PostgresError, WouldDestroy
from pgherd.postgres.layout import Layout, environment
from pgherd.postgres.run import run

NOTHING = 2**63
"""Beyond all WAL: nothing is divergent."""
LIMIT = 24 * 3600.0
"""Seconds for the copy; the runtime cancels it earlier when the source is gone."""


async def clone(
    layout: Layout, conninfo: str, own: tuple[str, Position] | None, replacing: bool, volume_fd: int | None
) -> None:
    """Copy, give it a new incarnation and standby.signal, put it in place.

    `own`: system identifier and position of the data to be replaced; None when they cannot be read.
    """
    if outside.filled(layout.data) and not replacing:
        raise WouldDestroy(f"{layout.data} is not empty: a clone would replace it")
    configure.make_directories(layout)
    await asyncio.to_thread(walhome.finish, layout)
    await replace.remove(layout, layout.new)
    since = await _divergent_since(layout, conninfo, own) if outside.filled(layout.data) else NOTHING
    argv = [
        layout.program("pg_basebackup"), "-D", str(layout.new), "-d", conninfo, "--checkpoint=fast",
        "--wal-method=stream", "--no-password", *outside.waldir(layout),
        *outside.mappings(layout, await remote.tablespaces(conninfo)),
    ]  # fmt: skip
    await run(argv, environment(), LIMIT, volume_fd)
    (layout.new / configure.STANDBY).touch(mode=0o600)
    incarnation.renew(layout.new)
    await replace.put(layout, since)


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
    since = divergent.fork(position, history, source.timeline, source.history)
    return NOTHING if since is None else since
