"""Promotion of a running standby onto exactly the timeline that the lease names (S2)."""

from __future__ import annotations

import asyncio

import psycopg

from pgherd.model.position import Position
from pgherd.postgres import histories
from pgherd.postgres.errors import NotArmed, PromoteFailed, WrongTimeline
from pgherd.postgres.layout import Layout
from pgherd.postgres.link import FenceLink
from pgherd.postgres.sessions import Connection, bounded, query

ANSWER = 5.0
POLL = 0.02
STATE = """SELECT r.recovery, CASE WHEN NOT r.recovery THEN pg_walfile_name(pg_current_wal_insert_lsn()) END AS walfile
  FROM (SELECT pg_is_in_recovery() AS recovery) AS r"""


def choose_timeline(layout: Layout, current: int, timeline: int) -> None:
    """Make PostgreSQL pick `timeline`: it takes the first number above an unbroken row of history files."""
    if timeline <= current:
        raise PromoteFailed(f"timeline {timeline} is not above the server's own timeline {current}")
    if (layout.wal / histories.file_name(timeline)).exists():
        raise PromoteFailed(f"timeline {timeline} exists already in {layout.wal}: take a higher number")
    histories.skip(layout.wal, current + 1, timeline)


async def promote(layout: Layout, link: FenceLink, connection: Connection, timeline: int, limit: float) -> Position:
    """Send it, wait until writes are allowed, read the timeline back. Where the new timeline began.

    Cannot be recalled once sent: after PromoteFailed only the killing pass makes sure that it does not happen.
    """
    if not link.armed():
        raise NotArmed("promotion needs an armed deadline in the future (S4)")
    try:
        await bounded(query(connection, "SELECT pg_promote(false) AS sent"), ANSWER)
        async with asyncio.timeout(limit):
            while True:
                row = await bounded(query(connection, STATE), ANSWER)
                if not row["recovery"]:
                    break
                await asyncio.sleep(POLL)
    except (TimeoutError, psycopg.Error) as error:
        raise PromoteFailed(f"not writable after {limit:g} s: {error}") from None
    found = int(row["walfile"][:8], 16)
    if found != timeline:
        raise WrongTimeline(timeline, found)
    return Position(timeline, max((a.end for a in histories.read(layout.wal, timeline)), default=0))
