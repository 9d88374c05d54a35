"""Declared users and databases on a real server: made once, put back, and never lost (without agents and API)."""

from __future__ import annotations

import os
import pwd
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from pgherd.access import Outcome, Passwords, apply
from pgherd.access.scram import matches, verifier
from pgherd.model.access import Code, Declared, DeclaredDatabase, DeclaredExtension, DeclaredUser, SecretSeen
from tests.ha.harness.installed import ensure
from tests.ha.harness.python import USER

PORT = 25590
APP = DeclaredUser("app", "demo-pguser-app", ("shop",))
Make = Callable[..., Any]


@pytest.fixture(scope="module")
def server() -> Iterator[Path]:
    """A server of its own, whose log has every statement; its socket's folder."""
    owner, version = pwd.getpwnam(USER), ensure()
    tools = Path(f"/usr/lib/postgresql/{version}/bin")
    with tempfile.TemporaryDirectory(prefix="pgherd-access-") as folder:
        root = Path(folder)
        os.chown(root, owner.pw_uid, owner.pw_gid)

        def run(*command: str) -> None:
            setpriv = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
            subprocess.run([*setpriv, *command], cwd="/", check=True, stdout=subprocess.DEVNULL, timeout=120)

        run(str(tools / "initdb"), "--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8",
            "--locale=C.UTF-8", f"--pgdata={root}/data")  # fmt: skip
        (root / "data/postgresql.auto.conf").write_text(
            f"port = {PORT}\nlisten_addresses = ''\nunix_socket_directories = '{root}'\nfsync = off\n"
            "log_statement = 'all'\nmax_connections = 30\nshared_buffers = 16MB\n"
        )
        (root / "data/pg_hba.conf").write_text("local all postgres trust\nlocal all all scram-sha-256\n")
        run(str(tools / "pg_ctl"), "--wait", f"--pgdata={root}/data", f"--log={root}/log", "start")
        yield root
        run(str(tools / "pg_ctl"), "--mode=immediate", f"--pgdata={root}/data", "stop")


@pytest.fixture
def sql(server: Path) -> Callable[..., list[Any]]:
    def ask(statement: str, database: str = "postgres", user: str = "postgres", password: str = "") -> list[Any]:
        with psycopg.connect(
            host=str(server), port=PORT, dbname=database, user=user, password=password, autocommit=True
        ) as session:
            cursor = session.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    return ask


@pytest.fixture
def bring(server: Path, sql: Callable[..., list[Any]]) -> Iterator[Make]:
    """Apply a declaration with these passwords by Secret. What a test left is gone afterwards."""
    passwords = Passwords()

    async def work(*users: DeclaredUser, databases: tuple[DeclaredDatabase, ...] = (), **secrets: Any) -> Outcome:
        known = {
            f"demo-pguser-{name}": SecretSeen(
                str(time.monotonic_ns()), {key: value.encode() for key, value in data.items()}
            )
            for name, data in secrets.items()
        }
        session = await psycopg.AsyncConnection.connect(
            host=str(server), port=PORT, dbname="postgres", user="postgres", autocommit=True
        )
        async with session:
            return await apply(session, Declared(users, databases), known, passwords)

    yield work
    for (name,) in sql("SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'"):
        sql(f'DROP DATABASE "{name}" WITH (FORCE)')
    for (name,) in sql("SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_' AND rolname <> 'postgres'"):
        sql(f'DROP OWNED BY "{name}"; DROP ROLE "{name}"')


def texts(outcome: Outcome) -> list[str]:
    return [each.text for each in outcome.done]


def codes(said: Mapping[str, Any]) -> dict[str, str]:
    return {name: each.code.value for name, each in said.items()}


async def test_a_user_gets_role_database_and_schema_once(bring: Make, sql: Make) -> None:
    first = await bring(APP, app={"password": "geheim", "verifier": verifier("geheim")})
    assert codes(first.users) == {"app": "applied"} and codes(first.databases) == {"shop": "applied"}
    assert texts(first) == [
        "create role app", "create database shop", "grant all on database shop to app",
        "create schema app in database shop",
    ]  # fmt: skip
    sql("CREATE TABLE orders (id int)", "shop", "app", "geheim")
    stored = sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'app'")[0][0]
    again = await bring(APP, app={"password": "geheim", "verifier": stored})
    assert again.done == ()


async def test_no_verifier_reaches_the_log_even_where_every_statement_is_logged(
    bring: Make, sql: Make, server: Path
) -> None:
    secret = verifier("geheim")
    await bring(APP, app={"verifier": secret})
    await bring(APP, app={"verifier": verifier("anders")})
    log = (server / "log").read_text()
    assert "SET LOCAL log_statement = 'none'" in log, "the log has every statement"
    assert "SCRAM-SHA-256" not in log and "geheim" not in log
    refused = await bring(msgspec.structs.replace(APP, name="appli"), appli={"verifier": secret})
    assert "SCRAM" not in str(refused)


async def test_a_password_alone_gets_its_verifier_and_keeps_it(bring: Make, sql: Make) -> None:
    odd = "Ⅸ\u00ad grüße\u00a0'\\"
    await bring(APP, app={"password": odd})
    first = sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'app'")
    assert sql("SELECT current_user", "shop", "app", odd) == [("app",)]
    assert sql("SELECT current_user", "shop", "app", "IX grüße '\\") == [("app",)], "the same after SASLprep"
    assert (await bring(APP, app={"password": odd})).done == ()
    assert sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'app'") == first
    await bring(APP, app={"password": "neu"})
    assert sql("SELECT current_user", "shop", "app", "neu") == [("app",)]


async def test_a_blank_or_missing_secret_leaves_the_password(bring: Make, sql: Make) -> None:
    assert codes((await bring(APP)).users) == {"app": "secret-missing"}
    assert sql("SELECT count(*) FROM pg_roles WHERE rolname = 'app'") == [(0,)]
    await bring(APP, app={"password": "alt"})
    assert codes((await bring(APP)).users) == {"app": "secret-missing"}
    assert codes((await bring(APP, app={"password": "", "verifier": ""})).users) == {"app": "secret-blank"}
    assert codes((await bring(APP, app={"verifier": "klartext"})).users) == {"app": "secret-invalid"}
    assert sql("SELECT current_user", "shop", "app", "alt") == [("app",)]
    differ = await bring(APP, app={"password": "neu", "verifier": verifier("auch neu")})
    assert codes(differ.users) == {"app": "verifier-differs"} and differ.users["app"].secret
    assert sql("SELECT current_user", "shop", "app", "auch neu") == [("app",)]


async def test_what_was_changed_by_hand_is_put_back(bring: Make, sql: Make) -> None:
    group = DeclaredUser("readers", "demo-pguser-readers", options="NOLOGIN")
    user = msgspec.structs.replace(
        APP, options="CREATEDB CONNECTION LIMIT 5 VALID UNTIL '2999-01-01'", roles=("readers", "pg_monitor")
    )
    shop = DeclaredDatabase("shop", owner="app", connection_limit=7)
    secrets = {"app": {"verifier": verifier("a")}, "readers": {"verifier": verifier("b")}}
    await bring(user, group, databases=(shop,), **secrets)
    before = sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'app'")[0][0]
    secrets["app"] = {"verifier": before}
    sql("ALTER ROLE app NOLOGIN NOCREATEDB CONNECTION LIMIT 1 VALID UNTIL '2001-01-01' PASSWORD 'hand'")
    sql("REVOKE readers FROM app; ALTER DATABASE shop OWNER TO postgres; REVOKE ALL ON DATABASE shop FROM app")
    sql("ALTER DATABASE shop CONNECTION LIMIT 1; ALTER ROLE readers LOGIN")
    put_back = await bring(user, group, databases=(shop,), **{**secrets, "readers": {"verifier": verifier("b")}})
    assert set(texts(put_back)) >= {
        "set the password of role app", "set the options of role app", "set the options of role readers",
        "grant role readers to app", "give database shop to app", "set the connection limit of database shop",
    }  # fmt: skip
    row = sql(
        "SELECT rolcanlogin, rolcreatedb, rolconnlimit, rolvaliduntil::date::text FROM pg_roles WHERE rolname = 'app'"
    )
    assert row == [(True, True, 5, "2999-01-01")]
    assert sql("SELECT has_database_privilege('app', 'shop', 'CREATE')") == [(True,)]


async def test_one_mistake_does_not_hold_the_others_up(bring: Make, sql: Make) -> None:
    wrong = (
        DeclaredUser("late", "demo-pguser-late", options="VALID UNTIL 'never'"),
        DeclaredUser("lost", "demo-pguser-lost", roles=("nobody",)),
        DeclaredUser("pg_evil", "demo-pguser-evil"),
        DeclaredUser("odd", "demo-pguser-odd", options="WITH PASSWORD 'x'"),
    )
    secrets = {name: {"verifier": verifier(name)} for name in ("late", "lost", "evil", "odd", "app")}
    shop = DeclaredDatabase("shop", extensions=(DeclaredExtension("no_such_thing"), DeclaredExtension("plpgsql")))
    found = await bring(*wrong, APP, databases=(shop, DeclaredDatabase("old", state="absent")), **secrets)
    assert codes(found.users) == {
        "late": "postgresql-refused", "lost": "postgresql-refused", "pg_evil": "declaration-refused",
        "odd": "declaration-refused", "app": "applied",
    }  # fmt: skip
    assert codes(found.databases) == {"shop": "postgresql-refused", "old": "declaration-refused"}
    assert "invalid input syntax" in found.users["late"].text and "nobody" in found.users["lost"].text
    assert "purge" in found.databases["old"].text
    assert sql("SELECT current_user", "shop", "app", "app") == [("app",)]


async def test_a_database_is_made_as_declared_and_what_cannot_be_changed_is_said(bring: Make, sql: Make) -> None:
    shop = DeclaredDatabase("shop", "app", "SQL_ASCII", "C", 3, (DeclaredExtension("hstore"),))
    secret = {"verifier": verifier("a")}
    found = await bring(APP, databases=(shop,), app=secret)
    assert codes(found.databases) == {"shop": "applied"}, found
    seen = sql("SELECT pg_encoding_to_char(encoding), datcollate, datconnlimit FROM pg_database WHERE datname = 'shop'")
    assert seen == [("SQL_ASCII", "C", 3)]
    query = "SELECT nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = 'hstore'"
    assert sql(query, "shop") == [(b"public",)]
    other = msgspec.structs.replace(shop, encoding="UTF-8", locale="C.utf8")
    found = await bring(APP, databases=(other,), app=secret)
    assert codes(found.databases) == {"shop": "database-differs"}
    assert "encoding is SQL_ASCII instead of UTF-8" in found.databases["shop"].text


async def test_a_database_goes_only_when_its_data_may(bring: Make, sql: Make, server: Path) -> None:
    user = msgspec.structs.replace(APP, databases=())
    secret = {"verifier": verifier("a")}
    await bring(user, databases=(DeclaredDatabase("shop", "app"),), app=secret)
    kept = await bring(user, databases=(DeclaredDatabase("shop", state="absent"),), app=secret)
    assert codes(kept.databases) == {"shop": "declaration-refused"}
    with psycopg.connect(host=str(server), port=PORT, dbname="shop", user="postgres"):  # somebody is still there
        gone = await bring(
            DeclaredUser("app", state="absent"), databases=(DeclaredDatabase("shop", state="absent", purge=True),)
        )
    assert gone.databases["shop"].code is gone.users["app"].code is Code.ABSENT
    assert sql("SELECT count(*) FROM pg_database WHERE datname = 'shop'") == [(0,)]
    again = await bring(
        DeclaredUser("app", state="absent"), databases=(DeclaredDatabase("shop", state="absent", purge=True),)
    )
    assert again.done == () and codes(again.databases) == {"shop": "absent"}


async def test_a_user_that_owns_objects_loses_its_login_and_nothing_else(bring: Make, sql: Make) -> None:
    heir = DeclaredUser("heir", "demo-pguser-heir")
    secrets = {"app": {"password": "a"}, "heir": {"password": "b"}}
    two = msgspec.structs.replace(APP, databases=("shop", "log"))
    await bring(two, heir, **secrets)
    sql("CREATE TABLE orders AS SELECT 42 AS id", "shop", "app", "a")
    sql("CREATE SCHEMA mine", "log", "app", "a")
    sql("GRANT SELECT ON orders TO heir; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO heir", "shop", "app", "a")
    sql("GRANT CREATE ON SCHEMA public TO app", "shop")
    absent = DeclaredUser("app", state="absent")
    kept = await bring(absent, heir, heir=secrets["heir"])
    assert codes(kept.users) == {"app": "owns-objects", "heir": "applied"}
    assert "in database shop" in kept.users["app"].text and "in database log" in kept.users["app"].text
    assert sql("SELECT rolcanlogin, rolpassword FROM pg_authid WHERE rolname = 'app'") == [(False, None)]
    assert (await bring(absent, heir, heir=secrets["heir"])).done == ()

    missing = msgspec.structs.replace(absent, reassign_to="nobody")
    assert codes((await bring(missing, heir, heir=secrets["heir"])).users)["app"] == "postgresql-refused"
    given = msgspec.structs.replace(absent, reassign_to="heir")
    gone = await bring(given, heir, heir=secrets["heir"])
    assert codes(gone.users) == {"app": "absent", "heir": "applied"}, gone
    assert sql("SELECT id FROM app.orders", "shop") == [(42,)]
    assert sql("SELECT tableowner FROM pg_tables WHERE tablename = 'orders'", "shop") == [("heir",)]
    assert sql("SELECT count(*) FROM pg_roles WHERE rolname = 'app'") == [(0,)]
    assert (await bring(given, heir, heir=secrets["heir"])).done == ()


async def test_a_user_that_owns_nothing_goes_with_its_empty_schema_and_its_sessions(
    bring: Make, sql: Make, server: Path
) -> None:
    await bring(APP, app={"password": "a"})
    with psycopg.connect(
        host=str(server), port=PORT, dbname="shop", user="app", password="a", autocommit=True
    ) as session:
        gone = await bring(DeclaredUser("app", state="absent"))
        assert codes(gone.users) == {"app": "absent"}
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert sql("SELECT count(*) FROM pg_database WHERE datname = 'shop'") == [(1,)], "databases are kept"


async def test_the_administrator_gets_a_password_and_stays(bring: Make, sql: Make) -> None:
    admin = DeclaredUser("postgres", "demo-pguser-postgres")
    assert texts(await bring(admin, postgres={"password": "a"})) == ["set the password of role postgres"]
    stored = sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'postgres'")[0][0]
    assert matches("postgres", "a", stored)
    refused = await bring(DeclaredUser("postgres", state="absent"))
    assert codes(refused.users) == {"postgres": "declaration-refused"} and refused.done == ()
    sql("ALTER ROLE postgres PASSWORD NULL")
