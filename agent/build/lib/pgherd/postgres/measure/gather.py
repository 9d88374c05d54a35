"""Asks the queries when somebody scrapes, and never keeps a scrape waiting.

One round at a time, over one connection that ends with it: role pg_monitor, read only, every statement limited by the
server. A round that a frozen PostgreSQL or volume keeps from ending is not waited for, and no other is begun while it
lives: so a server that hangs for an hour costs one connection. Two scrapers within KEEP seconds share a round.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg

from pgherd.model.mapping import boottime
from pgherd.model.metrics import Family, Sample
from pgherd.postgres.errors import FenceRefused, FenceSilent
from pgherd.postgres.layout import Layout
from pgherd.postgres.link import FenceLink
from pgherd.postgres.measure.queries import QUERIES
from pgherd.postgres.measure.query import MOST, Query
from pgherd.postgres.sessions import connect

LIMIT = 4.0
"""Seconds that a scrape waits: half of what Prometheus waits by default."""
KEEP = 2.0
STATEMENT = 1500
"""Milliseconds for each query, enforced by the server."""
OPTIONS = (
    f"-c role=pg_monitor -c default_transaction_read_only=on -c statement_timeout={STATEMENT} -c lock_timeout=100"
    " -c search_path=pg_catalog -c client_encoding=UTF8"
)

SUCCESS = Family("pgherd_postgres_scrape_success", "gauge", "PostgreSQL answered every query of this scrape in time.")
DURATION = Family("pgherd_postgres_scrape_duration_seconds", "gauge", "How long it took to ask PostgreSQL.")
QUERY = Family("pgherd_postgres_query_success", "gauge", "This query was answered.", ("query",))
CUT = Family(
    "pgherd_postgres_query_cut", "gauge", f"It had more than {MOST} rows, and only so many are shown.", ("query",)
)
KILLS = Family("pgherd_fence_kills_total", "counter", "PostgreSQLs that the fence killed at the lease's deadline.")
FREE = Family("pgherd_volume_free_bytes", "gauge", "Bytes that the volume still takes.", ("volume",))
SIZE = Family("pgherd_volume_size_bytes", "gauge", "Size of the volume's file system.", ("volume",))
INODES = Family("pgherd_volume_inodes_free", "gauge", "Files that the volume still takes.", ("volume",))

FAMILIES: tuple[Family, ...] = (
    SUCCESS, DURATION, QUERY, CUT, KILLS, FREE, SIZE, INODES,
    *(family for query in QUERIES for family in query.families),
)  # fmt: skip


def volumes(layout: Layout) -> Iterator[Sample]:
    """The data's volume, and that of the WAL where it is another one. Blocks while a volume hangs."""
    places = {"pgdata": layout.data.parent}
    with contextlib.suppress(OSError):
        if layout.wal.stat().st_dev != layout.data.parent.stat().st_dev:
            places["pgwal"] = layout.wal
    for name, place in places.items():
        yield from _volume(name, place)


def _volume(name: str, place: Path) -> Iterator[Sample]:
    try:
        found = os.statvfs(place)
    except OSError:
        return
    yield Sample(FREE, float(found.f_bavail * found.f_frsize), (name,))
    yield Sample(SIZE, float(found.f_blocks * found.f_frsize), (name,))
    if found.f_files:  # some file systems make inodes as they need them, and say 0
        yield Sample(INODES, float(found.f_favail), (name,))


class _Round:
    """What one round has found so far."""

    def __init__(self, began: float) -> None:
        self.began = began
        self.ended: float | None = None
        self.samples: list[Sample] = []
        self.answered: dict[str, bool] = {}
        self.task: asyncio.Task[None] | None = None

    def failed(self) -> bool:
        return self.ended is None or not all(self.answered.get(query.name) for query in QUERIES)

    def shown(self, now: float) -> tuple[Sample, ...]:
        marks = [Sample(QUERY, float(self.answered.get(query.name, False)), (query.name,)) for query in QUERIES]
        took = (self.ended or now) - self.began
        return (*self.samples, *marks, Sample(SUCCESS, float(not self.failed())), Sample(DURATION, took))


class Gatherer:
    """Lives with the server's executor; does nothing until it is asked."""

    def __init__(self, layout: Layout, link: FenceLink, clock: Callable[[], float] = boottime) -> None:
        self._layout, self._link, self._clock = layout, link, clock
        self._round: _Round | None = None
        self._kept: dict[str, tuple[float, tuple[Sample, ...]]] = {}

    async def gather(self) -> tuple[Sample, ...]:
        """What is known after at most LIMIT seconds; whether that is everything is among it."""
        now = self._clock()
        current = self._round
        if current is None or (current.ended is not None and now - current.began > KEEP):
            current = self._round = _Round(now)
            current.task = asyncio.create_task(self._ask(current), name="statistics")
        left = current.began + LIMIT - now
        if current.ended is None and left <= 0:
            return _Round(now).shown(now)  # it hangs since an earlier scrape: what that one saw is old
        assert current.task is not None
        await asyncio.wait({current.task}, timeout=left)
        return current.shown(self._clock())

    async def _ask(self, current: _Round) -> None:
        try:
            with contextlib.suppress(FenceSilent, FenceRefused):
                current.samples.append(Sample(KILLS, float((await self._link.state()).kills)))
            current.samples += await asyncio.to_thread(lambda: tuple(volumes(self._layout)))
            connection = await connect(self._layout, OPTIONS)
            try:
                version = connection.info.server_version // 10000
                for query in QUERIES:
                    await self._one(current, query, version, connection)
            finally:
                await connection.close()
        except (psycopg.Error, OSError):
            pass  # it does not run, starts, or has ended: every mark that is missing says so
        finally:
            current.ended = self._clock()

    async def _one(
        self, current: _Round, query: Query, version: int, connection: psycopg.AsyncConnection[dict[str, object]]
    ) -> None:
        """An answer, or none within the server's limit; raises psycopg.Error when the connection is lost."""
        when, kept = self._kept.get(query.name, (0.0, ()))
        if not kept or self._clock() - when >= query.every:
            try:
                cursor = await connection.execute(query.sql(version).encode())
                rows = await cursor.fetchall()
            except (psycopg.Error, UnicodeError):  # a name that is no UTF-8, in a database without an encoding
                current.answered[query.name] = False
                if connection.broken:
                    raise
                return
            kept = (*query.samples(rows[:MOST]), Sample(CUT, float(len(rows) > MOST), (query.name,)))
            self._kept[query.name] = self._clock(), kept
        current.samples += kept
        current.answered[query.name] = True
