"""What is done for a declared user, from the declaration and what the server has: PGO's rules, and nothing twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from pgherd.access.options import Options, parse
from pgherd.access.plan import Role, Seen, Step, check, databases, plan, schema
from pgherd.model.settings import DeclaredUser, InvalidSetting

VERIFIER = "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy"
APP = DeclaredUser(name="app", secret="demo-pguser-app", databases=("shop",))
ADMIN = DeclaredUser(name="postgres", secret="demo-pguser-postgres")
FLAGS = {"rolcanlogin": True, "rolsuper": False, "rolcreatedb": False}


def texts(steps: tuple[Step, ...]) -> list[str]:
    return [step.text for step in steps]


def statements(steps: tuple[Step, ...]) -> list[str]:
    return [step.statement.as_string(None) for step in steps]


def steps_for(
    user: DeclaredUser = APP, role: Role | None = None, granted: Mapping[str, bool] | None = None, options: str = ""
) -> tuple[Step, ...]:
    return plan(user, VERIFIER, parse(user.name, options), Seen(role, granted or {}))


def role(**changes: Any) -> Role:
    return msgspec.structs.replace(Role(password=VERIFIER, flags=FLAGS), **changes)


# A new user


def test_a_new_user_gets_role_database_and_privileges_in_this_order() -> None:
    found = steps_for()
    assert texts(found) == ["create role app", "create database shop", "grant all on database shop to app"]
    assert statements(found) == [
        f"CREATE ROLE \"app\" LOGIN PASSWORD '{VERIFIER}'",
        'CREATE DATABASE "shop"',
        'GRANT ALL PRIVILEGES ON DATABASE "shop" TO "app"',
    ]


def test_only_a_statement_with_a_verifier_is_secret_and_no_text_repeats_it() -> None:
    found = (*steps_for(), *steps_for(role=role(password=None)))
    assert [step.secret for step in found] == [VERIFIER in said for said in statements(found)]
    assert not any(VERIFIER in step.text for step in found)


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
    assert statements(steps_for(options=options))[0] == f"CREATE ROLE \"app\" LOGIN PASSWORD '{VERIFIER}'{words}"


def test_a_new_role_that_may_not_log_in_is_told_so_once() -> None:
    assert statements(steps_for(options="NOLOGIN"))[0] == f"CREATE ROLE \"app\" PASSWORD '{VERIFIER}' NOLOGIN"


# A user that is there


def test_what_is_as_declared_is_left_alone() -> None:
    assert steps_for(role=role(), granted={"shop": True}) == ()


@pytest.mark.parametrize(
    ("has", "options", "statement"),
    [
        (role(password="SCRAM-SHA-256$old"), "", f"ALTER ROLE \"app\" PASSWORD '{VERIFIER}'"),
        (role(password=None), "", f"ALTER ROLE \"app\" PASSWORD '{VERIFIER}'"),
        (role(), "CREATEDB", 'ALTER ROLE "app" CREATEDB'),
        (role(flags={**FLAGS, "rolcreatedb": True}), "NOCREATEDB", 'ALTER ROLE "app" NOCREATEDB'),
        (role(flags={**FLAGS, "rolcanlogin": False}), "", 'ALTER ROLE "app" LOGIN'),
        (role(), "NOLOGIN", 'ALTER ROLE "app" NOLOGIN'),
        (role(), "CONNECTION LIMIT 5", 'ALTER ROLE "app" CONNECTION LIMIT 5'),
        (role(valid_until_as_declared=False), "VALID UNTIL 'infinity'", "ALTER ROLE \"app\" VALID UNTIL 'infinity'"),
    ],
)
def test_only_what_differs_is_changed(has: Role, options: str, statement: str) -> None:
    assert statements(steps_for(role=has, granted={"shop": True}, options=options)) == [statement]


@pytest.mark.parametrize(
    ("has", "options"),
    [
        (role(flags={**FLAGS, "rolcreatedb": True}), ""),
        (role(flags={**FLAGS, "rolcreatedb": True}), "CREATEDB"),
        (role(flags={**FLAGS, "rolcanlogin": False}), "NOLOGIN"),
        (role(connection_limit=5), ""),
        (role(connection_limit=5), "CONNECTION LIMIT 5"),
        (role(), "CONNECTION LIMIT -1"),
        (role(valid_until_as_declared=True), "VALID UNTIL '2030-01-01'"),
        (role(valid_until_as_declared=False), ""),
    ],
)
def test_what_is_not_declared_any_more_is_never_taken_back(has: Role, options: str) -> None:
    assert steps_for(role=has, granted={"shop": True}, options=options) == ()


def test_password_and_options_are_separate_so_that_only_one_is_secret() -> None:
    found = steps_for(role=role(password=None), granted={"shop": True}, options="CREATEDB")
    assert texts(found) == ["set the password of role app", "set the options of role app"]
    assert [step.secret for step in found] == [True, False]


def test_a_database_without_its_privileges_is_granted_only() -> None:
    assert texts(steps_for(role=role(), granted={"shop": False})) == ["grant all on database shop to app"]


def test_a_database_that_is_named_twice_is_made_once() -> None:
    twice = msgspec.structs.replace(APP, databases=("shop", "log", "shop"))
    assert databases(twice) == ("shop", "log")
    assert texts(steps_for(twice, role())).count("create database shop") == 1


# Names are quoted, whatever they are


def test_names_are_identifiers_and_never_statements() -> None:
    odd = DeclaredUser(name='a"b', secret="s", databases=('x"; DROP DATABASE shop; --',))
    check(odd, VERIFIER)
    assert statements(plan(odd, VERIFIER, Options(), Seen(None, {})))[1:] == [
        'CREATE DATABASE "x""; DROP DATABASE shop; --"',
        'GRANT ALL PRIVILEGES ON DATABASE "x""; DROP DATABASE shop; --" TO "a""b"',
    ]


# The administrator


def test_the_administrator_only_gets_a_password() -> None:
    assert databases(ADMIN) == ("postgres",)
    assert texts(plan(ADMIN, VERIFIER, Options(), Seen(role(password=None), {"postgres": True}))) == [
        "set the password of role postgres"
    ]
    flagged = msgspec.structs.replace(ADMIN, options="NOSUPERUSER NOLOGIN")
    assert check(flagged, VERIFIER) == Options()
    assert plan(flagged, VERIFIER, check(flagged, VERIFIER), Seen(role(), {"postgres": True})) == ()


def test_databases_of_the_administrator_are_made_and_need_no_grant() -> None:
    more = msgspec.structs.replace(ADMIN, databases=("shop",))
    assert texts(plan(more, VERIFIER, Options(), Seen(role(), {"postgres": True}))) == ["create database shop"]


# The schema


def test_a_user_has_a_schema_of_its_name() -> None:
    made = schema(APP)
    assert made is not None and statements((made,)) == ['CREATE SCHEMA "app" AUTHORIZATION "app"'] and not made.secret


@pytest.mark.parametrize("name", ["postgres", "public", "pgbouncer", "monitor", "information_schema"])
def test_schemas_that_belong_to_nobody_are_not_given_away(name: str) -> None:
    assert schema(DeclaredUser(name=name, secret="s")) is None


# Refused before anything changes


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"name": ""}, "users[]"),
        ({"name": "pg_app"}, "must be 1 to 63 bytes and not begin with pg_"),
        ({"name": "pgherd_app"}, "users[pgherd_app]"),
        ({"name": "a\0b"}, "must be 1 to 63 bytes"),
        ({"name": "ä" * 32}, "must be 1 to 63 bytes"),
        ({"databases": ("",)}, "users[app].databases"),
        ({"databases": ("template1",)}, "'template1' must be 1 to 63 bytes and no template"),
        ({"databases": ("d" * 64,)}, "users[app].databases"),
        ({"options": "PASSWORD 'secret'"}, "users[app].options: 'PASSWORD' is not allowed"),
    ],
)
def test_declarations_that_cannot_work(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidSetting) as refused:
        check(msgspec.structs.replace(APP, **changes), VERIFIER)
    assert named in str(refused.value) and "secret'" not in str(refused.value)


@pytest.mark.parametrize(
    "verifier",
    [
        "",
        "hunter2",
        "md5d41d8cd98f00b204e9800998ecf8427e",
        "SCRAM-SHA-256$0:c2FsdA==$c3RvcmVk:c2VydmVy",
        "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk",
        VERIFIER + "\n",
        VERIFIER + "' SUPERUSER",
    ],
)
def test_a_verifier_is_one_or_is_refused_without_being_repeated(verifier: str) -> None:
    with pytest.raises(InvalidSetting) as refused:
        check(APP, verifier)
    assert "demo-pguser-app" in str(refused.value)
    assert not verifier or verifier not in str(refused.value)
