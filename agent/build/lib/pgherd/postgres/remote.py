"""What a rewind or a clone must know of its source first, over TLS as the replication user."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.rows import dict_row

from pgherd.model.position import parse_history, parse_lsn
from pgherd.model.standby import RemoteLine
from pgherd.postgres import histories
from pgherd.postgres.errors import PostgresError
from pgherd.postgres.sessions import Connection, bounded, query

CONNECT = 10.0
CHECKPOINT = 60.0
"""Seconds that the source may take for the checkpoint which pg_rewind needs after a promotion."""


SQL = """SELECT (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier, r.recovery,
       CASE WHEN NOT r.recovery THEN substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) END AS walfile,
       CASE WHEN r.recovery THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
            ELSE pg_current_wal_flush_lsn() END::text AS lsn,
       (SELECT timeline_id FROM pg_control_checkpoint()) AS checkpointed,
       (SELECT min_recovery_end_timeline FROM pg_control_recovery()) AS minimum
  FROM (SELECT pg_is_in_recovery() AS recovery) AS r"""


def _timeline(row: Mapping[str, Any]) -> int:
    """Of a standby what its pg_control says, which may be behind the one that it receives."""
    return max(row["checkpointed"], row["minimum"]) if row["recovery"] else int(row["walfile"], 16)


TABLESPACES = """SELECT coalesce(array_agg(location ORDER BY location), '{}') AS locations
  FROM (SELECT pg_tablespace_location(oid) AS location FROM pg_tablespace) AS t WHERE location <> ''"""


async def connect(conninfo: str) -> Connection:
    """Raises PostgresError naming the reason."""
    try:
        work = psycopg.AsyncConnection.connect(conninfo, autocommit=True, row_factory=dict_row)
        return await bounded(work, CONNECT)
    except (TimeoutError, psycopg.Error) as error:
        raise PostgresError(f"the source does not take connections: {error}") from None


async def line(conninfo: str) -> RemoteLine:
    """The line that a server writes, or follows. Raises PostgresError."""
    connection = await connect(conninfo)
    try:
        row = await bounded(query(connection, SQL), CONNECT)
        system, timeline, recovery = row["system_identifier"], _timeline(row), row["recovery"]
        lsn = parse_lsn(row["lsn"]) if row["lsn"] else 0
        if timeline == 1:
            return RemoteLine(system, timeline, (), lsn, recovery)
        sql = "SELECT pg_read_binary_file(%s) AS text"
        row = await bounded(query(connection, sql, (f"pg_wal/{histories.file_name(timeline)}",)), CONNECT)
        history = parse_history(bytes(row["text"]).decode(errors="replace"))
        return RemoteLine(system, timeline, history, lsn, recovery)
    except (TimeoutError, psycopg.Error) as error:
        raise PostgresError(f"the source does not tell its history: {error}") from None
    finally:
        await connection.close()


async def tablespaces(conninfo: str) -> list[str]:
    """Where the source has tablespaces of its own. Raises PostgresError."""
    connection = await connect(conninfo)
    try:
        row = await bounded(query(connection, TABLESPACES), CONNECT)
        return list(row["locations"])
    except (TimeoutError, psycopg.Error) as error:
        raise PostgresError(f"the source does not tell its tablespaces: {error}") from None
    finally:
        await connection.close()


async def settle(conninfo: str) -> None:
    """Until the source's pg_control is on its current timeline: pg_rewind of older versions reads only that file."""
    connection = await connect(conninfo)
    try:
        async with asyncio.timeout(CHECKPOINT):
            while True:
                row = await bounded(query(connection, SQL), CONNECT)
                if _timeline(row) == row["checkpointed"]:
                    return
                try:
                    await bounded(_checkpoint(connection), CHECKPOINT)
                except psycopg.errors.InsufficientPrivilege:  # before PostgreSQL 15: the primary does it by itself
                    await asyncio.sleep(0.2)
    except (TimeoutError, psycopg.Error) as error:
        raise PostgresError(f"the source's checkpoint did not reach its timeline: {error}") from None
    finally:
        await connection.close()


async def _checkpoint(connection: Connection) -> None:
    await connection.execute("CHECKPOINT")
