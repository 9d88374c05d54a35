"""What must be done for declared users and databases: pure, from the declaration and what the server has.

The rules are PGO's, so that clusters carry over: a role with LOGIN and the Secret's verifier, its databases owned by
`postgres` with every privilege granted, and in each a schema of the user's name that it owns, because since
PostgreSQL 15 nobody may create in `public`. What is merely no longer declared is never removed: that takes
`state: absent`. User `postgres` is special: the superuser that is there anyway, it only gets a password.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from psycopg import sql

from pgherd.access.options import FLAGS, Options, parse
from pgherd.model.access import Declared, DeclaredDatabase, DeclaredUser
from pgherd.model.settings import InvalidSetting

ADMIN = "postgres"
RESERVED = ("pg_", "pgherd_")
"""Beginnings of role names that belong to PostgreSQL and to us."""
RESERVED_NAMES = frozenset({"public", "none", "current_user", "session_user", "current_role"})
"""Words that stand for other roles where a role is named."""
PRODUCT = frozenset({ADMIN, "template0", "template1"})
"""Databases that are there anyway."""
SHARED_SCHEMAS = frozenset({"public", "pgbouncer", "monitor", "information_schema"})
"""Schemas that belong to nobody's user: a user of such a name gets none."""


class Role(msgspec.Struct, frozen=True):
    """A role as pg_authid has it."""

    password: str | None
    flags: Mapping[str, bool]
    connection_limit: int = -1
    valid_until_as_declared: bool = True
    """Whether rolvaliduntil is the declared time: only the server can compare the two."""

    def __repr__(self) -> str:
        return f"Role({dict(self.flags)})"


class Database(msgspec.Struct, frozen=True):
    """A database as pg_database has it."""

    owner: str = ADMIN
    encoding: str = "UTF8"
    locale: str = ""
    connection_limit: int = -1
    granted: frozenset[str] = frozenset()
    """Roles with every privilege on it."""


class Step(msgspec.Struct, frozen=True):
    """One statement; `text` says the same to a person, without secrets."""

    text: str
    statement: sql.Composed
    secret: bool = False
    """The statement carries a verifier: the server must not log it, and its errors are not repeated whole."""


def check_user(user: DeclaredUser) -> Options:
    """Refuse what cannot work, before anything changes for this user. Raises InvalidSetting."""
    where = f"users[{user.name}]"
    if user.name.startswith(RESERVED) or user.name in RESERVED_NAMES:
        raise InvalidSetting(f"{where}: is reserved, as are names that begin with {' or '.join(RESERVED)}")
    _named(where, user.name)
    for database in user.databases:
        _named(f"{where}.databases", database)
        if database in ("template0", "template1"):
            raise InvalidSetting(f"{where}.databases: {database!r} is a template, which belongs to nobody's user")
    for role in (*user.roles, *filter(None, (user.reassign_to,))):
        _named(f"{where}.roles", role)
    if user.state == "absent" and user.name == ADMIN:
        raise InvalidSetting(f"{where}.state=absent: the superuser is PostgreSQL's own")
    return Options() if user.name == ADMIN or user.state == "absent" else parse(user.name, user.options)


def check_database(database: DeclaredDatabase) -> None:
    """Raises InvalidSetting naming the field."""
    where = f"databases[{database.name}]"
    _named(where, database.name)
    if database.name in PRODUCT:
        raise InvalidSetting(f"{where}: belongs to PostgreSQL, and is neither changed nor dropped")
    if database.state == "absent" and not database.purge:
        raise InvalidSetting(f"{where}.state=absent: needs purge, since all its data would be gone; it is kept")


def _named(where: str, name: str) -> None:
    if not name or "\0" in name or len(name.encode()) > 63:
        raise InvalidSetting(f"{where}: {name!r} must be 1 to 63 bytes")


def databases_of(user: DeclaredUser) -> tuple[str, ...]:
    """Its databases without repetition; the administrator also has its own."""
    declared = (*user.databases, ADMIN) if user.name == ADMIN else user.databases
    return tuple(dict.fromkeys(declared))


def databases(declared: Declared) -> tuple[DeclaredDatabase, ...]:
    """All that are to be there or to go: those with a declaration of their own, then what users merely name."""
    known = {each.name: each for each in declared.databases}
    for user in declared.users:
        if user.state == "present":
            for name in user.databases:
                if name not in PRODUCT:
                    known.setdefault(name, DeclaredDatabase(name))
    return tuple(known.values())


def role(user: DeclaredUser, verifier: str | None, options: Options, has: Role | None) -> tuple[Step, ...]:
    """The role itself: made, or what differs of password and options. Without a verifier its password stays."""
    name = sql.Identifier(user.name)
    words = _words(options, has) if user.name != ADMIN else []
    steps = []
    if has is None:
        # NOLOGIN comes with the words: both must not stand there.
        parts: list[sql.Composable] = [sql.SQL("CREATE ROLE {}").format(name)]
        parts += [sql.SQL("LOGIN")] if options.flags.get("rolcanlogin", True) else []
        parts += [sql.SQL("PASSWORD {}").format(sql.Literal(verifier))] if verifier is not None else []
        made = sql.SQL(" ").join([*parts, *words])
        steps.append(Step(f"create role {user.name}", made, secret=verifier is not None))
    elif verifier is not None and has.password != verifier:
        changed = sql.SQL("ALTER ROLE {} PASSWORD {}").format(name, sql.Literal(verifier))
        steps.append(Step(f"set the password of role {user.name}", changed, secret=True))
    if has is not None and words:
        changed = sql.SQL(" ").join([sql.SQL("ALTER ROLE {}").format(name), *words])
        steps.append(Step(f"set the options of role {user.name}", changed))
    return tuple(steps)


def memberships(user: DeclaredUser, has: frozenset[str]) -> tuple[Step, ...]:
    """Roles that it is to be a member of and is not; after all roles are made."""
    statement, name = sql.SQL("GRANT {} TO {}"), sql.Identifier(user.name)
    return tuple(
        Step(f"grant role {each} to {user.name}", statement.format(sql.Identifier(each), name))
        for each in dict.fromkeys(user.roles)
        if each not in has
    )


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


def database(declared: DeclaredDatabase, has: Database | None) -> tuple[Step, ...]:
    """A database that is to be there: made, or its owner and limit set."""
    name, owner, limit = sql.Identifier(declared.name), declared.owner, declared.connection_limit
    if has is None:
        parts: list[sql.Composable] = [sql.SQL("CREATE DATABASE {}").format(name)]
        if owner:
            parts.append(sql.SQL("OWNER {}").format(sql.Identifier(owner)))
        if declared.encoding or declared.locale:
            # Only the pristine template can be copied with another encoding or locale.
            parts.append(sql.SQL("TEMPLATE template0"))
        for clause, value in (("ENCODING {}", declared.encoding), ("LOCALE {}", declared.locale)):
            if value:
                parts.append(sql.SQL(clause).format(sql.Literal(value)))
        if limit is not None:
            parts.append(sql.SQL("CONNECTION LIMIT {}").format(sql.Literal(limit)))
        return (Step(f"create database {declared.name}", sql.SQL(" ").join(parts)),)
    steps = []
    if owner and has.owner != owner:
        changed = sql.SQL("ALTER DATABASE {} OWNER TO {}").format(name, sql.Identifier(owner))
        steps.append(Step(f"give database {declared.name} to {owner}", changed))
    if limit is not None and has.connection_limit != limit:
        changed = sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format(name, sql.Literal(limit))
        steps.append(Step(f"set the connection limit of database {declared.name}", changed))
    return tuple(steps)


def drop(declared: DeclaredDatabase) -> Step:
    """Its sessions end; a database in use would be there for ever."""
    statement = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(declared.name))
    return Step(f"drop database {declared.name} with all its data", statement)


def differs(declared: DeclaredDatabase, has: Database) -> str:
    """What cannot be changed in a database that is there, and is not as declared; empty when nothing is."""
    found = []
    if declared.encoding and _bare(declared.encoding) != _bare(has.encoding):
        found.append(f"its encoding is {has.encoding} instead of {declared.encoding}")
    if declared.locale and _bare(declared.locale) != _bare(has.locale):
        found.append(f"its locale is {has.locale} instead of {declared.locale}")
    return " and ".join(found)


def _bare(name: str) -> str:
    """Encodings and locales are the same whatever their case and punctuation."""
    return "".join(char for char in name.lower() if char.isalnum())


def grants(user: DeclaredUser, seen: Mapping[str, Database]) -> tuple[Step, ...]:
    """Every privilege on each of the user's databases that is there."""
    if user.name == ADMIN:
        return ()
    statement = sql.SQL("GRANT ALL PRIVILEGES ON DATABASE {} TO {}")
    return tuple(
        Step(
            f"grant all on database {name} to {user.name}",
            statement.format(sql.Identifier(name), sql.Identifier(user.name)),
        )
        for name in databases_of(user)
        if name in seen and user.name not in seen[name].granted
    )


def schemas(users: Iterable[DeclaredUser]) -> dict[str, tuple[DeclaredUser, ...]]:
    """Database -> users that are to have a schema of their own in it."""
    found: dict[str, tuple[DeclaredUser, ...]] = {}
    for user in users:
        if user.schema and user.name != ADMIN and user.name not in SHARED_SCHEMAS:
            for name in databases_of(user):
                found[name] = (*found.get(name, ()), user)
    return found


def schema(user: DeclaredUser, database: str) -> Step:
    name = sql.Identifier(user.name)
    statement = sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(name, name)
    return Step(f"create schema {user.name} in database {database}", statement)


def extension(name: str, schema: str, database: str) -> Step:
    statement = sql.SQL("CREATE EXTENSION {}").format(sql.Identifier(name))
    if schema:
        statement = sql.SQL("{} SCHEMA {}").format(statement, sql.Identifier(schema))
    return Step(f"create extension {name} in database {database}", statement)
