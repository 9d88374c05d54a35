"""Carries the plan out, on the primary, over a superuser's connection. Repeating it changes nothing.

One user's mistake does not hold the others up: what could not be done is collected and raised at the end.
No verifier reaches a log or an exception: statements that carry one run with the server's statement logging off,
and of their errors only PostgreSQL's primary message is repeated.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from pgherd.access.options import FLAGS, Options
from pgherd.access.plan import Role, Seen, Step, check, databases, plan, schema
from pgherd.model.settings import DeclaredUser, InvalidSetting

Connection = psycopg.AsyncConnection[Any]
Connect = Callable[[str], Awaitable[Connection]]
"""A new connection of the same superuser to the named database."""

PRIVILEGES = 3
"""CREATE, TEMPORARY and CONNECT are all that there is on a database."""

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


class Incomplete(Exception):
    """Some declared users are not as declared; `problems` has a sentence for each, `done` what was changed."""

    def __init__(self, problems: Sequence[str], done: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems, self.done = tuple(problems), tuple(done)


def beside(connection: Connection) -> Connect:
    """Connections to other databases of the same server, with the parameters of this one."""

    async def connect(database: str) -> Connection:
        parameters: dict[str, Any] = {**connection.info.get_parameters(), "dbname": database}
        return await psycopg.AsyncConnection.connect(**parameters, autocommit=True)

    return connect


async def apply(
    connection: Connection,
    users: Sequence[DeclaredUser],
    verifiers: Mapping[str, str],
    connect: Connect | None = None,
) -> list[str]:
    """Make roles and databases as declared; what was changed, in words. Raises Incomplete after all was tried.

    `connection` is a superuser's, to database `postgres` of the primary; `verifiers` is by user name.
    """
    if not connection.autocommit:
        await connection.set_autocommit(True)
    done: list[str] = []
    problems: list[str] = []
    for user in users:
        try:
            await _user(connection, user, verifiers.get(user.name, ""), connect or beside(connection), done)
        except InvalidSetting as error:
            problems.append(str(error))
        except psycopg.Error as error:
            problems.append(f"users[{user.name}]: {_message(error)}")
    if problems:
        raise Incomplete(problems, done) from None
    return done


async def _user(connection: Connection, user: DeclaredUser, verifier: str, connect: Connect, done: list[str]) -> None:
    options = check(user, verifier)
    seen = Seen(await _role(connection, user.name, options), await _granted(connection, user))
    for step in plan(user, verifier, options, seen):
        await _run(connection, step)
        done.append(step.text)
    wanted = schema(user)
    if wanted is None:
        return
    for database in databases(user):
        if await _schema(connect, database, user.name, wanted):
            done.append(f"{wanted.text} in database {database}")


async def _role(connection: Connection, name: str, options: Options) -> Role | None:
    columns = sql.SQL(", ").join(sql.Identifier(column) for column in FLAGS.values())
    query = sql.SQL(
        "SELECT rolpassword, rolconnlimit, rolvaliduntil IS NOT DISTINCT FROM %s::timestamptz, {}"
        " FROM pg_catalog.pg_authid WHERE rolname = %s"
    ).format(columns)
    rows = await _fetch(connection, query, (options.valid_until, name))
    if not rows:
        return None
    row = rows[0]
    return Role(row[0], dict(zip(FLAGS.values(), row[3:], strict=True)), row[1], row[2])


async def _granted(connection: Connection, user: DeclaredUser) -> dict[str, bool]:
    query = """
        SELECT datname, (SELECT count(DISTINCT acl.privilege_type)
                         FROM pg_catalog.aclexplode(datacl) acl
                         JOIN pg_catalog.pg_roles role ON role.oid = acl.grantee
                         WHERE role.rolname = %s) = %s
        FROM pg_catalog.pg_database WHERE datname = ANY (%s)
    """
    return dict(await _fetch(connection, sql.SQL(query), (user.name, PRIVILEGES, list(databases(user)))))


async def _schema(connect: Connect, database: str, name: str, step: Step) -> bool:
    connection = await connect(database)
    try:
        query = sql.SQL("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = %s")
        if await _fetch(connection, query, (name,)):
            return False
        await _run(connection, step)
        return True
    finally:
        await connection.close()


async def _fetch(connection: Connection, query: sql.SQL | sql.Composed, parameters: Sequence[Any]) -> list[Any]:
    """All rows as tuples, whatever the connection makes of rows otherwise."""
    async with connection.cursor(row_factory=tuple_row) as cursor:
        return list(await (await cursor.execute(query, parameters)).fetchall())


async def _run(connection: Connection, step: Step) -> None:
    if not step.secret:
        await connection.execute(step.statement)
        return
    try:
        async with connection.transaction():
            for quiet in _QUIET:
                await connection.execute(quiet)
            await connection.execute(step.statement)
    except psycopg.Error as error:
        raise InvalidSetting(f"cannot {step.text}: {_message(error)}") from None


def _message(error: psycopg.Error) -> str:
    """PostgreSQL's own sentence, without the excerpt of the statement that psycopg adds."""
    return f"{error.diag.message_primary or type(error).__name__} ({error.sqlstate or 'no answer'})"
