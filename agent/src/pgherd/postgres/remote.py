"""What a rewind or a clone must know of its source first, over TLS as the replication user."""

from __future__ import annotations

import asyncio

import msgspec
import psycopg
from psycopg.rows import dict_row

from pgherd.model.position import History, parse_history
from pgherd.postgres import histories
from pgherd.postgres.errors import PostgresError
from pgherd.postgres.sessions import Connection, bounded, query

CONNECT = 10.0
CHECKPOINT = 60.0
"""Seconds that the source may take for the checkpoint which pg_rewind needs after a promotion."""


class Line(msgspec.Struct, frozen=True):
    """The line that a primary writes on, or that a standby has replayed."""

    system_identifier: str
    timeline: int
    history: History


SQL = """SELECT (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,
       substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) AS current,
       (SELECT timeline_id FROM pg_control_checkpoint()) AS checkpointed"""

TABLESPACES = """SELECT coalesce(array_agg(location ORDER BY location), '{}') AS locations
  FROM (SELECT pg_tablespace_location(oid) AS location FROM pg_tablespace) AS t WHERE location <> ''"""


EITHER = SQL.replace(
    "substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)",
    """CASE WHEN pg_is_in_recovery()
         THEN lpad(to_hex(greatest((SELECT timeline_id FROM pg_control_checkpoint()),
                                   (SELECT min_recovery_end_timeline FROM pg_control_recovery()))), 8, '0')
         ELSE substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) END""",
)
"""Of a standby the timeline that it has replayed."""


async def connect(conninfo: str) -> Connection:
    """Raises PostgresError naming the reason."""
    try:
        work = psycopg.AsyncConnection.connect(conninfo, autocommit=True, row_factory=dict_row)
        return await bounded(work, CONNECT)
    except (TimeoutError, psycopg.Error) as error:
        raise PostgresError(f"the source does not take connections: {error}") from None


async def line(conninfo: str, standby: bool = False) -> Line:
    """Raises PostgresError, also when the source is no primary, unless it may be a `standby`."""
    connection = await connect(conninfo)
    try:
        row = await bounded(query(connection, EITHER if standby else SQL), CONNECT)
        system, timeline = row["system_identifier"], int(row["current"], 16)
        if timeline == 1:
            return Line(system, timeline, ())
        sql = "SELECT pg_read_binary_file(%s) AS text"
        row = await bounded(query(connection, sql, (f"pg_wal/{histories.file_name(timeline)}",)), CONNECT)
        return Line(system, timeline, parse_history(bytes(row["text"]).decode(errors="replace")))
    except (TimeoutError, psycopg.Error) as error:
        raise PostgresError(f"the source is not a primary that tells its history: {error}") from None
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
                if int(row["current"], 16) == row["checkpointed"]:
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
