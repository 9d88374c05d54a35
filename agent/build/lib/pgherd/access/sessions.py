"""Statements over a superuser's connection: how they are run, and what of their errors may be repeated.

No verifier reaches a log or an exception: statements that carry one run with the server's statement logging off, and of
every error only PostgreSQL's primary message is repeated. In a user's database names are looked up in pg_catalog alone,
so that nothing which that user made there is run by the superuser.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from pgherd.access.plan import Step

Connection = psycopg.AsyncConnection[Any]
Connect = Callable[[str], Awaitable[Connection]]
"""A new connection of the same superuser to the named database."""

LOCK = "10s"
"""Longest wait for a lock: who holds one longer is waited for by trying again."""
_SETTINGS = (
    "SET client_encoding = 'UTF8'",
    "SET search_path = ''",
    "SET statement_timeout = 0",
    "SET default_transaction_read_only = off",
    f"SET lock_timeout = '{LOCK}'",
)
_QUIET = (
    "SET LOCAL log_statement = 'none'",
    "SET LOCAL log_min_duration_statement = -1",
    "SET LOCAL log_min_duration_sample = -1",
    "SET LOCAL log_min_error_statement = 'panic'",
    "SET LOCAL log_transaction_sample_rate = 0",
    "SET LOCAL pg_stat_statements.track_utility = off",
    "SET LOCAL pgaudit.log = 'none'",
)
"""For one transaction: whatever could write a statement down does not."""


class Failed(Exception):
    """A statement failed. `lasting`: it will fail again until a person changes something."""

    def __init__(self, text: str, lasting: bool) -> None:
        super().__init__(text)
        self.lasting = lasting


def failure(error: psycopg.Error, doing: str = "") -> Failed:
    """PostgreSQL's own sentence, without the excerpt of the statement that psycopg adds."""
    said = f"{error.diag.message_primary or type(error).__name__} ({error.sqlstate or 'no answer'})"
    # Syntax, access, missing or duplicate things, wrong values, what is not supported, what others depend on.
    lasting = (error.sqlstate or "")[:2] in ("42", "22", "0A", "2B", "28", "3D", "3F", "0L", "0P")
    return Failed(f"cannot {doing}: {said}" if doing else said, lasting)


async def prepare(connection: Connection) -> None:
    """Whatever the server's or the database's own settings are."""
    if not connection.autocommit:
        await connection.set_autocommit(True)
    for setting in _SETTINGS:
        await connection.execute(setting.encode())


def beside(connection: Connection) -> Connect:
    """Connections to other databases of the same server, with the parameters of this one."""

    async def connect(database: str) -> Connection:
        parameters: dict[str, Any] = {
            **connection.info.get_parameters(), "dbname": database, "password": connection.info.password or None
        }  # fmt: skip
        return await psycopg.AsyncConnection.connect(**parameters, autocommit=True)

    return connect


@asynccontextmanager
async def connected(connect: Connect, database: str) -> AsyncIterator[Connection]:
    """A prepared connection for the time of the block."""
    connection = await connect(database)
    try:
        await prepare(connection)
        yield connection
    finally:
        await connection.close()


async def fetch(connection: Connection, query: sql.SQL | sql.Composed, parameters: Sequence[Any] = ()) -> list[Any]:
    """All rows as tuples, whatever the connection makes of rows otherwise."""
    async with connection.cursor(row_factory=tuple_row) as cursor:
        return list(await (await cursor.execute(query, parameters or None)).fetchall())


async def run(connection: Connection, step: Step) -> None:
    """Raises Failed."""
    try:
        if not step.secret:
            await connection.execute(step.statement)
            return
        async with connection.transaction():
            for quiet in _QUIET:
                await connection.execute(quiet.encode())
            await connection.execute(step.statement)
    except psycopg.Error as error:
        raise failure(error, step.text) from None
