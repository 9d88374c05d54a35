"""What must be done for one declared user: pure, from the declaration and what the server has.

The rules are PGO's, so that clusters carry over: a role with LOGIN and the declared verifier, its databases owned by
`postgres` with every privilege granted, and in each a schema of the user's name that it owns, because since
PostgreSQL 15 nobody may create in `public`. Nothing that is no longer declared is ever removed. User `postgres` is
special: the superuser that is there anyway, it only gets a password.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from psycopg import sql

from pgherd.access.options import FLAGS, Options, parse
from pgherd.model.settings import DeclaredUser, InvalidSetting

ADMIN = "postgres"
RESERVED = ("pg_", "pgherd_")
"""Beginnings of role names that belong to PostgreSQL and to us."""
TEMPLATES = frozenset({"template0", "template1"})
SHARED_SCHEMAS = frozenset({"public", "pgbouncer", "monitor", "information_schema"})
"""Schemas that belong to nobody's user: a user of such a name gets none."""

_BASE64 = r"[A-Za-z0-9+/]+={0,2}"
_SCRAM = re.compile(rf"SCRAM-SHA-256\$[1-9]\d{{0,9}}:{_BASE64}\${_BASE64}:{_BASE64}")


class Role(msgspec.Struct, frozen=True):
    """A role as pg_authid has it."""

    password: str | None
    flags: Mapping[str, bool]
    connection_limit: int = -1
    valid_until_as_declared: bool = True
    """Whether rolvaliduntil is the declared time: only the server can compare the two."""


class Seen(msgspec.Struct, frozen=True):
    """What the server has that concerns one user."""

    role: Role | None
    granted: Mapping[str, bool]
    """Each of its databases that exists -> whether the user has every privilege on it."""


class Step(msgspec.Struct, frozen=True):
    """One statement; `text` says the same to a person, without secrets."""

    text: str
    statement: sql.Composed
    secret: bool = False
    """The statement carries a verifier: the server must not log it, and its errors are not repeated whole."""


def check(user: DeclaredUser, verifier: str) -> Options:
    """Refuse what cannot work, before anything changes. Raises InvalidSetting (never with the verifier in it)."""
    if not user.name or user.name.startswith(RESERVED) or "\0" in user.name or len(user.name.encode()) > 63:
        raise InvalidSetting(
            f"users[{user.name}]: must be 1 to 63 bytes and not begin with {' or '.join(RESERVED)}"
        )  # fmt: skip
    for database in user.databases:
        if not database or database in TEMPLATES or "\0" in database or len(database.encode()) > 63:
            raise InvalidSetting(f"users[{user.name}].databases: {database!r} must be 1 to 63 bytes and no template")
    if not verifier:
        raise InvalidSetting(f"users[{user.name}].secret: Secret {user.secret} has no verifier")
    if not _SCRAM.fullmatch(verifier):
        raise InvalidSetting(
            f"users[{user.name}].secret: the verifier in Secret {user.secret} is not a SCRAM-SHA-256 verifier"
        )
    return Options() if user.name == ADMIN else parse(user.name, user.options)


def databases(user: DeclaredUser) -> tuple[str, ...]:
    """Its databases without repetition; the administrator also has its own."""
    declared = (*user.databases, ADMIN) if user.name == ADMIN else user.databases
    return tuple(dict.fromkeys(declared))


def plan(user: DeclaredUser, verifier: str, options: Options, seen: Seen) -> tuple[Step, ...]:
    """Everything that is done in database `postgres`: role, password, options, databases, privileges."""
    steps = [*_role(user, verifier, options, seen.role)]
    for database in databases(user):
        if database not in seen.granted:
            create = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database))
            steps.append(Step(f"create database {database}", create))
        if user.name != ADMIN and not seen.granted.get(database):
            grant = sql.SQL("GRANT ALL PRIVILEGES ON DATABASE {} TO {}")
            steps.append(
                Step(
                    f"grant all on database {database} to {user.name}",
                    grant.format(sql.Identifier(database), sql.Identifier(user.name)),
                )
            )
    return tuple(steps)


def schema(user: DeclaredUser) -> Step | None:
    """The user's own schema in one of its databases, for a database that has none of that name."""
    if user.name == ADMIN or user.name in SHARED_SCHEMAS:
        return None
    name = sql.Identifier(user.name)
    return Step(f"create schema {user.name}", sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(name, name))


def _role(user: DeclaredUser, verifier: str, options: Options, role: Role | None) -> list[Step]:
    name, password = sql.Identifier(user.name), sql.Literal(verifier)
    words = _words(options, role) if user.name != ADMIN else []
    if role is None:
        # NOLOGIN comes with the words: both must not stand there.
        login = sql.SQL("LOGIN PASSWORD" if options.flags.get("rolcanlogin", True) else "PASSWORD")
        made = sql.SQL("CREATE ROLE {} {} {}").format(name, login, password)
        if words:
            made = sql.SQL(" ").join([made, *words])
        return [Step(f"create role {user.name}", made, secret=True)]
    steps = []
    if role.password != verifier:
        changed = sql.SQL("ALTER ROLE {} PASSWORD {}").format(name, password)
        steps.append(Step(f"set the password of role {user.name}", changed, secret=True))
    if words:
        changed = sql.SQL(" ").join([sql.SQL("ALTER ROLE {}").format(name), *words])
        steps.append(Step(f"set the options of role {user.name}", changed))
    return steps


def _words(options: Options, role: Role | None) -> list[sql.Composable]:
    """The options that differ from what the role has; LOGIN holds unless NOLOGIN is declared."""
    wanted = {"rolcanlogin": True, **options.flags}
    if role is None and wanted["rolcanlogin"]:
        del wanted["rolcanlogin"]  # CREATE ROLE says LOGIN already
    has: Mapping[str, Any] = role.flags if role else {}
    words: list[sql.Composable] = [
        sql.SQL(word if wanted[column] else f"NO{word}")
        for word, column in FLAGS.items()
        if column in wanted and has.get(column) != wanted[column]
    ]
    if options.connection_limit is not None and (role is None or role.connection_limit != options.connection_limit):
        words.append(sql.SQL("CONNECTION LIMIT {}").format(sql.Literal(options.connection_limit)))
    if options.valid_until is not None and (role is None or not role.valid_until_as_declared):
        words.append(sql.SQL("VALID UNTIL {}").format(sql.Literal(options.valid_until)))
    return words
