"""Connections to the own server over its local socket, and waits that end even when the server is frozen."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import psycopg
from psycopg.rows import DictRow, dict_row

from pgherd.postgres.layout import Layout

Connection = psycopg.AsyncConnection[DictRow]
T = TypeVar("T")

_abandoned: set[asyncio.Task[Any]] = set()
"""Keeps a reference until they end; asyncio itself holds tasks weakly."""


async def bounded(work: Coroutine[Any, Any, T], seconds: float) -> T:
    """The result, or TimeoutError after `seconds`, even if cancelling takes longer.

    psycopg tries to cancel the query of a cancelled task at the server and waits for it: a frozen server would
    hold up asyncio.wait_for. The task is left to end by itself.
    """
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        _abandon(task)
        raise
    if done:
        return task.result()
    _abandon(task)
    raise TimeoutError(f"no answer within {seconds:g} s")


def _abandon(task: asyncio.Future[Any]) -> None:
    assert isinstance(task, asyncio.Task)
    _abandoned.add(task)
    task.add_done_callback(_forget)
    task.cancel()


def _forget(task: asyncio.Task[Any]) -> None:
    _abandoned.discard(task)
    if not task.cancelled():
        task.exception()


async def connect(
    layout: Layout, options: str = "", database: str = "postgres", replication: str = "false"
) -> Connection:
    """A new connection as the superuser over the local socket (peer). The caller bounds and closes it.

    `replication="database"` speaks the replication protocol's commands. What the agent writes waits for no standby: it
    must get on where commits wait, and a new primary writes it again.
    """
    return await psycopg.AsyncConnection.connect(
        host=str(layout.socket),
        port=layout.settings.port,
        user="postgres",
        dbname=database,
        application_name="pgherd",
        options=f"-c synchronous_commit=local {options}",
        replication=replication,
        autocommit=True,
        row_factory=dict_row,
    )


async def query(connection: Connection, sql: str, parameters: tuple[Any, ...] = ()) -> dict[str, Any]:
    """The first row. Raises psycopg.Error; a row is expected."""
    cursor = await connection.execute(sql.encode(), parameters or None)
    row = await cursor.fetchone()
    assert row is not None
    return row


SHUTTING_DOWN = "shutting down"
BUSY = ("starting up", "not yet accepting connections", "in recovery mode", SHUTTING_DOWN, "Connection refused")
"""57P03 in words, since libpq gives no SQLSTATE for a refused connection; and no listener yet or any more."""


def is_busy(error: Exception) -> bool:
    """Whether the server said that it cannot take connections at this moment."""
    return any(words in str(error) for words in (*BUSY, "No such file or directory"))


def is_shutting_down(error: Exception) -> bool:
    """Whether a new connection was refused because of a shutdown; who was connected hears of it in other words."""
    return SHUTTING_DOWN in str(error)
