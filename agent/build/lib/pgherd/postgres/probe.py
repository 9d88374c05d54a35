"""Proof of health: a new connection answers, and the volume takes a write. Each bounded, both at once (S4).

Any well-formed answer of the server is life, errors included, except that it cannot take connections yet: a mistake
in pg_hba or a trigger at login must not fail a cluster over.
"""

from __future__ import annotations

import asyncio
import os

import psycopg

from pgherd.model.mapping import boottime
from pgherd.model.server import Health
from pgherd.postgres.layout import Layout
from pgherd.postgres.sessions import bounded, connect, is_busy, query


class Prober:
    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._writing: asyncio.Task[None] | None = None

    async def probe(self, limit: float) -> Health:
        """`limit` seconds for each of the two."""
        began = boottime()
        reasons = await asyncio.gather(self._answer(limit), self._write(limit))
        reason = "; ".join(filter(None, reasons))
        return Health(checked=began, alive=not reason, reason=reason)

    async def _answer(self, limit: float) -> str:
        try:
            await bounded(self._ask(), limit)
        except TimeoutError:
            return f"PostgreSQL did not answer a new connection within {limit:g} s"
        except psycopg.Error as error:
            if is_busy(error) or ("FATAL:" not in str(error) and error.sqlstate is None):
                return f"PostgreSQL does not take connections: {str(error).strip()}"
        return ""

    async def _ask(self) -> None:
        login_triggers = "-c event_triggers=off" if self._layout.settings.version >= 17 else ""
        connection = await connect(self._layout, login_triggers)
        try:
            await query(connection, "SELECT pg_is_in_recovery() AS recovery")
        finally:
            await connection.close()

    async def _write(self, limit: float) -> str:
        """While an earlier write still hangs, no second thread is spent on a volume that does not answer."""
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(asyncio.to_thread(self._write_and_sync))
            self._writing.add_done_callback(lambda task: task.cancelled() or task.exception())
        done, _ = await asyncio.wait({self._writing}, timeout=limit)
        if not done:
            return f"the data volume did not take a write within {limit:g} s"
        error = self._writing.exception()
        return f"the data volume does not take writes: {error}" if error else ""

    def _write_and_sync(self) -> None:
        fd = os.open(self._layout.state / "probe", os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(fd, f"{boottime():.3f}\n".encode(), 0)
            os.fsync(fd)
        finally:
            os.close(fd)
