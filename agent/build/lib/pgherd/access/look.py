"""What the server has of the declared users and databases: one query for each kind of thing, however many there are.

Only declared names are asked for: what else is there may be in any encoding, and is nobody's business here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from psycopg import sql

from pgherd.access.options import FLAGS
from pgherd.access.plan import Database, Role
from pgherd.access.sessions import Connection, fetch

PRIVILEGES = 3
"""CREATE, TEMPORARY and CONNECT are all that there is on a database."""

_MEMBERSHIPS = """
    SELECT DISTINCT member.rolname, granted.rolname
    FROM pg_catalog.pg_auth_members m
    JOIN pg_catalog.pg_roles member ON member.oid = m.member
    JOIN pg_catalog.pg_roles granted ON granted.oid = m.roleid
    WHERE member.rolname = ANY (%s)
"""
_DATABASES = """
    SELECT d.datname, r.rolname, pg_catalog.pg_encoding_to_char(d.encoding), d.datcollate, d.datconnlimit,
           ARRAY(SELECT grantee.rolname FROM pg_catalog.aclexplode(d.datacl) acl
                 JOIN pg_catalog.pg_roles grantee ON grantee.oid = acl.grantee
                 WHERE grantee.rolname = ANY (%s)
                 GROUP BY grantee.rolname HAVING count(DISTINCT acl.privilege_type) = %s)::text[]
    FROM pg_catalog.pg_database d JOIN pg_catalog.pg_roles r ON r.oid = d.datdba
    WHERE d.datname = ANY (%s)
"""


async def roles(connection: Connection, names: Sequence[str]) -> dict[str, Role]:
    columns = sql.SQL(", ").join(sql.Identifier(column) for column in FLAGS.values())
    query = sql.SQL(
        "SELECT rolname, rolpassword, rolconnlimit, {} FROM pg_catalog.pg_authid WHERE rolname = ANY (%s)"
    ).format(columns)
    rows = await fetch(connection, query, (list(names),))
    return {row[0]: Role(row[1], dict(zip(FLAGS.values(), row[3:], strict=True)), row[2]) for row in rows}


async def with_time(connection: Connection, name: str, role: Role, declared: str) -> Role:
    """Whether `declared` is until when its password is good. Raises psycopg.Error when it is no time."""
    query = sql.SQL(
        "SELECT rolvaliduntil IS NOT DISTINCT FROM %s::timestamptz FROM pg_catalog.pg_roles WHERE rolname = %s"
    )
    rows = await fetch(connection, query, (declared, name))
    return msgspec.structs.replace(role, valid_until_as_declared=bool(rows and rows[0][0]))


async def memberships(connection: Connection, names: Sequence[str]) -> Mapping[str, frozenset[str]]:
    """Direct ones, by member."""
    found: dict[str, frozenset[str]] = {}
    for member, granted in await fetch(connection, sql.SQL(_MEMBERSHIPS), (list(names),)):
        found[member] = found.get(member, frozenset()) | {granted}
    return found


async def databases(connection: Connection, names: Sequence[str], grantees: Sequence[str]) -> dict[str, Database]:
    """Those of these names, with which of these roles have every privilege."""
    rows = await fetch(connection, sql.SQL(_DATABASES), (list(grantees), PRIVILEGES, list(names)))
    return {row[0]: Database(row[1], row[2], row[3], row[4], frozenset(row[5])) for row in rows}


async def schemas(connection: Connection, names: Sequence[str]) -> frozenset[str]:
    """Those that are in the database that the connection is to."""
    query = sql.SQL("SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname = ANY (%s)")
    return frozenset(row[0] for row in await fetch(connection, query, (list(names),)))


async def extensions(connection: Connection, names: Sequence[str]) -> frozenset[str]:
    """Those that are in the database that the connection is to."""
    query = sql.SQL("SELECT extname FROM pg_catalog.pg_extension WHERE extname = ANY (%s)")
    return frozenset(row[0] for row in await fetch(connection, query, (list(names),)))
