"""Passwords and verifiers: made once, kept, and never shown."""

from __future__ import annotations

import base64
from typing import Any

from ansible_collections.pgherd.postgres.plugins.module_utils import scram, users
from ansible_collections.pgherd.postgres.plugins.module_utils.difference import LATER

from .rendering import cluster


def decoded(secret: dict[str, Any]) -> dict[str, str]:
    return {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}


def test_verifier_of_the_rfc_7677_example() -> None:
    made = scram.verifier("pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="))
    assert made == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
        ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )


def test_passwords_are_long_and_differ() -> None:
    made = {scram.new_password() for _ in range(50)}
    assert len(made) == 50 and {len(each) for each in made} == {24}


def test_a_users_secret_has_the_keys_that_clients_of_pgo_know() -> None:
    (user,) = cluster()["users"]
    values = decoded(users.secret(user, None, generate=True))
    assert set(values) == {"host", "port", "user", "password", "verifier", "dbname", "uri", "jdbc-uri"}
    assert values["host"] == "demo-primary.databases.svc"
    assert values["verifier"].startswith("SCRAM-SHA-256$4096:")
    assert values["uri"].startswith("postgresql://demo:") and values["uri"].endswith(
        "@demo-primary.databases.svc:5432/demo"
    )


def test_a_users_secret_is_kept() -> None:
    (user,) = cluster()["users"]
    first = users.secret(user, None, generate=True)
    assert users.secret(user, first, generate=True) == first
    assert users.secret(user, first, generate=False) == first


def test_a_blank_password_makes_a_new_pair_and_a_blank_verifier_only_itself() -> None:
    (user,) = cluster()["users"]
    first = users.secret(user, None, generate=True)
    renewed = decoded(users.secret(user, {"data": {**first["data"], "password": ""}}, generate=True))
    assert renewed["password"] != decoded(first)["password"] and renewed["verifier"] != decoded(first)["verifier"]
    chosen = {"password": base64.b64encode(b"a@b/c").decode(), "verifier": ""}
    values = decoded(users.secret(user, {"data": chosen}, generate=True))
    assert values["password"] == "a@b/c" and values["verifier"]
    assert "postgresql://demo:a%40b%2Fc@" in values["uri"]


def test_in_check_mode_nothing_is_generated() -> None:
    (user,) = cluster()["users"]
    data = users.secret(user, None, generate=False)["data"]
    assert {data[name] for name in ("password", "verifier", "uri", "jdbc-uri")} == {LATER}
