"""What is done for declared users and databases, from the declaration and what the server has: nothing twice."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pgherd.access import plan
from pgherd.access.options import Options, parse
from pgherd.access.plan import Database, Role, Step
from pgherd.model.access import Declared, DeclaredDatabase, DeclaredUser
from pgherd.model.settings import InvalidSetting

VERIFIER = "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy"
APP = DeclaredUser("app", "demo-pguser-app", ("shop",))
ADMIN = DeclaredUser("postgres", "demo-pguser-postgres")
FLAGS = {"rolcanlogin": True, "rolsuper": False, "rolcreatedb": False}
HAS = Role(VERIFIER, FLAGS)


def texts(steps: tuple[Step, ...]) -> list[str]:
    return [step.text for step in steps]


def statements(steps: tuple[Step, ...]) -> list[str]:
    return [step.statement.as_string(None) for step in steps]


def role(has: Role | None = None, options: str = "", user: DeclaredUser = APP, verifier: str | None = VERIFIER) -> Any:
    return plan.role(user, verifier, parse(user.name, options), has)


def changed(**changes: Any) -> Role:
    return msgspec.structs.replace(HAS, **changes)


# A new role


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("", ""),
        ("LOGIN", ""),
        ("CREATEDB NOSUPERUSER", " NOSUPERUSER CREATEDB"),
        ("CONNECTION LIMIT 5", " CONNECTION LIMIT 5"),
        ("CONNECTION LIMIT -1", " CONNECTION LIMIT  -1"),
        ("VALID UNTIL '2030-01-01'", " VALID UNTIL '2030-01-01'"),
    ],
)
def test_options_of_a_new_role(options: str, words: str) -> None:
    assert statements(role(options=options)) == [f"CREATE ROLE \"app\" LOGIN PASSWORD '{VERIFIER}'{words}"]


def test_a_new_role_that_may_not_log_in_is_told_so_once() -> None:
    assert statements(role(options="NOLOGIN")) == [f"CREATE ROLE \"app\" PASSWORD '{VERIFIER}' NOLOGIN"]


def test_only_a_statement_with_a_verifier_is_secret_and_no_text_repeats_it() -> None:
    found = (*role(), *role(changed(password=None), "CREATEDB"))
    assert [step.secret for step in found] == [VERIFIER in said for said in statements(found)] == [True, True, False]
    assert not any(VERIFIER in step.text for step in found)
    assert VERIFIER not in repr(HAS)


# A role that is there


def test_what_is_as_declared_is_left_alone() -> None:
    assert role(HAS) == ()


@pytest.mark.parametrize(
    ("has", "options", "statement"),
    [
        (changed(password="SCRAM-SHA-256$old"), "", f"ALTER ROLE \"app\" PASSWORD '{VERIFIER}'"),
        (changed(password=None), "", f"ALTER ROLE \"app\" PASSWORD '{VERIFIER}'"),
        (HAS, "CREATEDB", 'ALTER ROLE "app" CREATEDB'),
        (changed(flags={**FLAGS, "rolcreatedb": True}), "NOCREATEDB", 'ALTER ROLE "app" NOCREATEDB'),
        (changed(flags={**FLAGS, "rolcanlogin": False}), "", 'ALTER ROLE "app" LOGIN'),
        (HAS, "NOLOGIN", 'ALTER ROLE "app" NOLOGIN'),
        (HAS, "CONNECTION LIMIT 5", 'ALTER ROLE "app" CONNECTION LIMIT 5'),
        (changed(valid_until_as_declared=False), "VALID UNTIL 'infinity'", "ALTER ROLE \"app\" VALID UNTIL 'infinity'"),
    ],
)
def test_only_what_differs_is_changed(has: Role, options: str, statement: str) -> None:
    assert statements(role(has, options)) == [statement]


@pytest.mark.parametrize(
    ("has", "options"),
    [
        (changed(flags={**FLAGS, "rolcreatedb": True}), ""),
        (changed(flags={**FLAGS, "rolcreatedb": True}), "CREATEDB"),
        (changed(flags={**FLAGS, "rolcanlogin": False}), "NOLOGIN"),
        (changed(connection_limit=5), ""),
        (changed(connection_limit=5), "CONNECTION LIMIT 5"),
        (HAS, "CONNECTION LIMIT -1"),
        (changed(valid_until_as_declared=True), "VALID UNTIL '2030-01-01'"),
        (changed(valid_until_as_declared=False), ""),
    ],
)
def test_what_is_not_declared_any_more_is_never_taken_back(has: Role, options: str) -> None:
    assert role(has, options) == ()


def test_without_a_verifier_the_password_stays() -> None:
    assert role(changed(password="other"), verifier=None) == ()
    assert texts(role(changed(password="other"), "CREATEDB", verifier=None)) == ["set the options of role app"]


def test_the_administrator_only_gets_a_password() -> None:
    assert plan.databases_of(ADMIN) == ("postgres",)
    assert texts(role(changed(password=None), user=ADMIN)) == ["set the password of role postgres"]
    flagged = msgspec.structs.replace(ADMIN, options="NOSUPERUSER NOLOGIN")
    assert plan.check_user(flagged) == Options()
    assert plan.grants(msgspec.structs.replace(ADMIN, databases=("shop",)), {"shop": Database()}) == ()


def test_roles_are_granted_once() -> None:
    user = msgspec.structs.replace(APP, roles=("readers", "pg_monitor", "readers"))
    assert statements(plan.memberships(user, frozenset({"pg_monitor"}))) == ['GRANT "readers" TO "app"']


# Databases


def test_every_database_that_a_user_names_is_made_once() -> None:
    users = (
        msgspec.structs.replace(APP, databases=("shop", "log", "shop")),
        DeclaredUser("postgres", databases=("postgres", "more")),
        DeclaredUser("old", databases=("older",), state="absent"),
    )
    own = DeclaredDatabase("log", owner="app")
    assert plan.databases(Declared(users, (own,))) == (own, DeclaredDatabase("shop"), DeclaredDatabase("more"))


@pytest.mark.parametrize(
    ("declared", "statement"),
    [
        (DeclaredDatabase("shop"), 'CREATE DATABASE "shop"'),
        (DeclaredDatabase("shop", owner="app"), 'CREATE DATABASE "shop" OWNER "app"'),
        (
            DeclaredDatabase("shop", "app", "UTF8", "C", 3),
            "CREATE DATABASE \"shop\" OWNER \"app\" TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C' CONNECTION LIMIT 3",
        ),
    ],
)
def test_a_new_database(declared: DeclaredDatabase, statement: str) -> None:
    assert statements(plan.database(declared, None)) == [statement]


def test_a_database_that_is_there_keeps_what_is_not_declared() -> None:
    has = Database(owner="other", connection_limit=9)
    assert plan.database(DeclaredDatabase("shop"), has) == ()
    assert statements(plan.database(DeclaredDatabase("shop", "app", connection_limit=5), has)) == [
        'ALTER DATABASE "shop" OWNER TO "app"',
        'ALTER DATABASE "shop" CONNECTION LIMIT 5',
    ]


@pytest.mark.parametrize(
    ("encoding", "locale", "why"),
    [
        ("", "", ""),
        ("utf-8", "en_US.UTF-8", ""),
        ("LATIN1", "", "its encoding is UTF8 instead of LATIN1"),
        ("LATIN1", "C", "its encoding is UTF8 instead of LATIN1 and its locale is en_US.utf8 instead of C"),
    ],
)
def test_encoding_and_locale_are_compared_as_postgresql_reads_them(encoding: str, locale: str, why: str) -> None:
    declared = DeclaredDatabase("shop", encoding=encoding, locale=locale)
    assert plan.differs(declared, Database(encoding="UTF8", locale="en_US.utf8")) == why


def test_privileges_are_granted_where_they_are_missing() -> None:
    seen = {"shop": Database(granted=frozenset({"other"})), "log": Database(granted=frozenset({"app"}))}
    user = msgspec.structs.replace(APP, databases=("shop", "log", "not there"))
    assert texts(plan.grants(user, seen)) == ["grant all on database shop to app"]


def test_names_are_identifiers_and_never_statements() -> None:
    odd = DeclaredUser('a"b', databases=('x"; DROP DATABASE shop; --',), roles=("r; --",))
    plan.check_user(odd)
    (name,) = odd.databases
    assert statements((
        *plan.role(odd, VERIFIER, Options(), None),
        *plan.memberships(odd, frozenset()),
        *plan.database(DeclaredDatabase(name, owner='a"b'), None),
        *plan.grants(odd, {name: Database()}),
        plan.drop(DeclaredDatabase(name)),
        plan.schema(odd, name),
        plan.extension('e"', 's"', name),
    )) == [
        f"CREATE ROLE \"a\"\"b\" LOGIN PASSWORD '{VERIFIER}'",
        'GRANT "r; --" TO "a""b"',
        'CREATE DATABASE "x""; DROP DATABASE shop; --" OWNER "a""b"',
        'GRANT ALL PRIVILEGES ON DATABASE "x""; DROP DATABASE shop; --" TO "a""b"',
        'DROP DATABASE "x""; DROP DATABASE shop; --" WITH (FORCE)',
        'CREATE SCHEMA "a""b" AUTHORIZATION "a""b"',
        'CREATE EXTENSION "e""" SCHEMA "s"""',
    ]  # fmt: skip


# Schemas


def test_users_have_a_schema_in_each_of_their_databases_unless_told_otherwise() -> None:
    plain = DeclaredUser("plain", databases=("shop",), schema=False)
    other = DeclaredUser("other", databases=("shop", "log"))
    assert plan.schemas((APP, plain, other, ADMIN)) == {"shop": (APP, other), "log": (other,)}


@pytest.mark.parametrize("name", ["postgres", "public", "pgbouncer", "monitor", "information_schema"])
def test_schemas_that_belong_to_nobody_are_not_given_away(name: str) -> None:
    assert plan.schemas((DeclaredUser(name, databases=("shop",)),)) == {}


# Refused before anything changes


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"name": ""}, "users[]"),
        ({"name": "pg_app"}, "users[pg_app]: is reserved, as are names that begin with pg_ or pgherd_"),
        ({"name": "pgherd_replication"}, "users[pgherd_replication]: is reserved"),
        ({"name": "public"}, "users[public]: is reserved"),
        ({"name": "a\0b"}, "must be 1 to 63 bytes"),
        ({"name": "ä" * 32}, "must be 1 to 63 bytes"),
        ({"databases": ("",)}, "users[app].databases"),
        ({"databases": ("template1",)}, "'template1' is a template"),
        ({"databases": ("d" * 64,)}, "users[app].databases"),
        ({"roles": ("",)}, "users[app].roles"),
        ({"options": "PASSWORD 'secret'"}, "users[app].options: 'PASSWORD' is not allowed"),
        ({"name": "postgres", "state": "absent"}, "users[postgres].state=absent"),
    ],
)
def test_users_that_cannot_work(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidSetting) as refused:
        plan.check_user(msgspec.structs.replace(APP, **changes))
    assert named in str(refused.value) and "secret'" not in str(refused.value)


@pytest.mark.parametrize(
    ("database", "named"),
    [
        (DeclaredDatabase("postgres", owner="app"), "databases[postgres]: belongs to PostgreSQL"),
        (DeclaredDatabase("template1", state="absent", purge=True), "databases[template1]"),
        (DeclaredDatabase("shop", state="absent"), "databases[shop].state=absent: needs purge"),
        (DeclaredDatabase(""), "must be 1 to 63 bytes"),
    ],
)
def test_databases_that_cannot_work(database: DeclaredDatabase, named: str) -> None:
    with pytest.raises(InvalidSetting) as refused:
        plan.check_database(database)
    assert named in str(refused.value)
