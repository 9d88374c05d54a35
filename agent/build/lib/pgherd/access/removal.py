"""A user that is to be absent: its login goes at once, the role when nothing is lost with it.

Objects are never dropped. What the role owns is given to the declared heir, or the role stays, without login, and the
report says where its objects are. An empty schema of its own name is not worth keeping a role for. Between the look at
what is owned and the end of the role's privileges nothing can change: pg_shdepend, where PostgreSQL notes who owns and
may what, is locked meanwhile, in every database by itself. Each step can be repeated.
"""

from __future__ import annotations

from collections.abc import Callable

import psycopg
from psycopg import sql

from pgherd.access.plan import SHARED_SCHEMAS, Step
from pgherd.access.sessions import Connect, Connection, connected, failure, fetch, run
from pgherd.model.access import Code, DeclaredUser, Said

_DATABASES = """
    SELECT DISTINCT coalesce(d.datname, 'postgres')
    FROM pg_catalog.pg_shdepend s LEFT JOIN pg_catalog.pg_database d ON d.oid = s.dbid
    WHERE s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND s.refobjid = %s
      AND coalesce(d.datallowconn, true)
    ORDER BY 1
"""
_OWNED = """
    SELECT count(*)
    FROM pg_catalog.pg_shdepend s
    WHERE s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND s.refobjid = %s AND s.deptype = 'o'
      AND s.classid NOT IN ('pg_catalog.pg_default_acl'::pg_catalog.regclass,
                            'pg_catalog.pg_user_mapping'::pg_catalog.regclass)
      AND s.dbid IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
"""
"""Default privileges and user mappings are the role's own settings: they mean nothing without it."""


async def remove(connection: Connection, user: DeclaredUser, connect: Connect, done: Callable[[str], None]) -> Said:
    """What became of it. Raises Failed."""
    found = await fetch(
        connection, sql.SQL("SELECT oid, rolcanlogin FROM pg_catalog.pg_roles WHERE rolname = %s"), (user.name,)
    )
    if not found:
        return Said(Code.ABSENT)
    (identity, may_login) = found[0]
    if may_login:
        await _lock_out(connection, user)
        done(f"take the login of role {user.name} away")
    owned = []
    for (database,) in await fetch(connection, sql.SQL(_DATABASES), (identity,)):
        async with connected(connect, database) as there:
            count = await _release(there, user, identity)
        if count:
            owned.append(f"{count} in database {database}")
    if owned:
        text = f"it owns objects ({', '.join(owned)}): name in reassign_to who gets them; its login is taken away"
        return Said(Code.OWNS_OBJECTS, text)
    name = sql.Identifier(user.name)
    await run(connection, Step(f"drop role {user.name}", sql.SQL("DROP ROLE {}").format(name)))
    done(f"drop role {user.name}")
    return Said(Code.ABSENT)


async def _lock_out(connection: Connection, user: DeclaredUser) -> None:
    name = sql.Identifier(user.name)
    step = Step(f"take the login of role {user.name} away", sql.SQL("ALTER ROLE {} NOLOGIN PASSWORD NULL").format(name))
    await run(connection, step)
    end = "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE usename = %s"
    await fetch(connection, sql.SQL(end), (user.name,))


async def _release(connection: Connection, user: DeclaredUser, identity: int) -> int:
    """Give away what the role owns in this database and end its privileges, or say how many objects it owns."""
    name = sql.Identifier(user.name)
    try:
        await _drop_empty_schema(connection, user)
        async with connection.transaction() as transaction:
            await connection.execute("LOCK TABLE pg_catalog.pg_shdepend IN SHARE ROW EXCLUSIVE MODE")
            if user.reassign_to:
                heir = sql.Identifier(user.reassign_to)
                await connection.execute(sql.SQL("REASSIGN OWNED BY {} TO {}").format(name, heir))
            ((owned,),) = await fetch(connection, sql.SQL(_OWNED), (identity,))
            if owned:
                raise psycopg.Rollback(transaction)
            await connection.execute(sql.SQL("DROP OWNED BY {}").format(name))
        return int(owned)
    except psycopg.Error as error:
        doing = f"release what role {user.name} has in database {connection.info.dbname}"
        raise failure(error, doing) from None


async def _drop_empty_schema(connection: Connection, user: DeclaredUser) -> None:
    """Refused by PostgreSQL when anything is in it."""
    if user.name in SHARED_SCHEMAS:
        return
    owned = """
        SELECT 1 FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_roles r ON r.oid = n.nspowner
        WHERE n.nspname = %s AND r.rolname = %s
    """
    if await fetch(connection, sql.SQL(owned), (user.name, user.name)):
        try:
            await connection.execute(sql.SQL("DROP SCHEMA {} RESTRICT").format(sql.Identifier(user.name)))
        except psycopg.errors.DependentObjectsStillExist:
            return
