"""Declared users and databases on the play's side: refused early, adopted, and one mind with the agents."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from ansible_collections.pgherd.postgres.plugins.module_utils import access_status, role_options, scram, users
from ansible_collections.pgherd.postgres.plugins.module_utils.apply import Refused
from ansible_collections.pgherd.postgres.plugins.module_utils.declaration import Invalid
from ansible_collections.pgherd.postgres.plugins.module_utils.names import FIELD_MANAGER

from pgherd.access import options as of_agent
from pgherd.access import scram as scram_of_agent
from pgherd.model import access
from pgherd.model.settings import InvalidSetting

from .memory import Memory
from .rendering import cluster

BASE = "/api/v1/namespaces/databases"
VERIFIER = scram.verifier("pencil")
OURS = [{"manager": FIELD_MANAGER}]


# One mind with the agents


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "CREATEDB nologin", "NOSUPERUSER INHERIT BYPASSRLS noreplication", "CONNECTION LIMIT 5",
        "connection  limit -1", "CONNECTION LIMIT -2", "CONNECTION LIMIT 9999999999", "CONNECTION", "CONNECTION LIMIT",
        "CONNECTION LIMIT many", "VALID UNTIL '2030-01-01 12:00 UTC'", "VALID UNTIL", "VALID UNTIL ''",
        "VALID UNTIL 'it''s'", "VALID UNTIL never", "LOGIN,CREATEDB", "LOGIN;", "LOGIN -- no", "LOGIN /* no */",
        "PASSWORD 'x'", "ENCRYPTED PASSWORD 'x'", "NO", "NONOLOGIN", "ADMIN boss", "LOGIN " * 40, "LOGINCREATEDB",
        "CONNECTION LIMIT 5 VALID UNTIL 'infinity' CREATEROLE", "LIMIT 5", "VALID UNTIL 'a\\b'", "IN ROLE x",
        "NOVALID UNTIL 'x'", "LOGIN\tCREATEDB",
    ],
)  # fmt: skip
def test_play_and_agents_understand_the_same_options(text: str) -> None:
    try:
        of_agent.parse("app", text)
        refused = False
    except InvalidSetting:
        refused = True
    assert bool(role_options.options_problem(text)) == refused


@pytest.mark.parametrize(
    "password", ["plain", "with\ttab", "I\u00adX", "\u2168", "a\u00a0b", "\u0627\u0031", "\u00ad", "grüße", "a\u0007ä"]
)
def test_play_and_agents_prepare_passwords_alike(password: str) -> None:
    salt = b"0123456789abcdef"
    assert scram.verifier(password, salt) == scram_of_agent.verifier(password, salt)


def test_play_and_agents_name_a_declaration_and_its_states_alike() -> None:
    assert access_status.revision("text") == access.revision("text")
    assert set(access_status.FINE) == {code.value for code in access.Code if code.fine}
    assert set(access_status.PASSING) < {code.value for code in access.Code if not code.fine}


# Refused before anything changes


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"users": [{"name": "public"}]}, "postgres_users[0].name"),
        ({"users": [{"name": "app", "options": "SUPERUSER;"}]}, "';' is not understood; allowed are [NO]SUPERUSER"),
        ({"users": [{"name": "app", "options": 5}]}, "postgres_users[0].options=5: must be a text"),
        ({"users": [{"name": "app", "password": {"type": "Base64"}}]}, 'type="Base64": must be one of ASCII, Alpha'),
        ({"users": [{"name": "app", "state": "gone"}]}, "must be one of present, absent"),
        ({"users": [{"name": "app", "reassign_to": "app"}]}, "needs state absent"),
        ({"users": [{"name": "app", "state": "absent", "reassign_to": "x"}]}, "must be a declared user that stays"),
        ({"users": [{"name": "postgres", "state": "absent"}]}, "is PostgreSQL's superuser"),
        ({"users": [{"name": "postgres", "options": "LOGIN"}]}, "is PostgreSQL's superuser"),
        ({"users": [{"name": "app", "databases": ["template0"]}]}, "is a template"),
        ({"users": [{"name": f"u{index}"} for index in range(65)]}, "has 65 entries; 64 are allowed"),
        ({"users": [{"name": "app", "roles": "pg_monitor"}]}, "postgres_users[0].roles"),
        ({"databases": [{"name": "shop", "state": "absent"}]}, "needs purge: true beside it"),
        ({"databases": [{"name": "postgres"}]}, "belongs to PostgreSQL"),
        ({"databases": [{"name": "shop"}, {"name": "shop"}]}, "is there twice"),
        ({"databases": [{"name": "shop", "owner": "nobody"}]}, "postgres_databases[0].owner"),
        ({"databases": [{"name": "demo", "state": "absent", "purge": True}]}, "user demo has it"),
        ({"databases": [{"name": "shop", "encoding": "UTF8'; DROP"}]}, "must be the name of an encoding"),
        ({"databases": [{"name": "shop", "connection_limit": -2}]}, "must be a whole number from -1"),
        ({"databases": [{"name": "shop", "extensions": [{"nam": "x"}]}]}, "no such field; did you mean name"),
        ({"databases": [{"owner": "demo"}]}, "postgres_databases[0].name"),
    ],
)
def test_what_cannot_work_is_refused_by_name(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid) as refused:
        cluster(**changes)
    assert said in str(refused.value)


def test_a_password_among_the_options_is_not_repeated() -> None:
    with pytest.raises(Invalid) as refused:
        cluster(users=[{"name": "app", "options": "LOGIN PASSWORD 'hunter2'"}])
    assert "hunter2" not in str(refused.value) and "'PASSWORD' is not understood" in str(refused.value)


def test_an_absent_user_has_no_secret_and_is_told_to_the_agents() -> None:
    declared = cluster(users=[{"name": "old", "state": "absent", "options": "LOGIN"}, {"name": "app"}])
    assert [each["name"] for each in declared["users"]] == ["app"]
    assert declared["access"]["users"][0] == {"name": "old", "state": "absent"}


# Secrets


def secret(live: dict[str, Any] | None, managed: bool = False, **user: Any) -> dict[str, Any]:
    (declared,) = cluster(users=[{"name": "app", "databases": ["shop"], **user}])["users"]
    if live is not None:
        data = {key: base64.b64encode(value.encode()).decode() for key, value in live.get("data", {}).items()}
        metadata = {"managedFields": OURS if managed else [], "annotations": live.get("annotations", {})}
        live = {"metadata": metadata, "data": data}
    return users.secret(declared, live, generate=True)


def values(made: dict[str, Any]) -> dict[str, str]:
    return {key: base64.b64decode(value).decode() for key, value in made["data"].items()}


def test_an_alphanumeric_password_is_one() -> None:
    made = values(secret(None, password={"type": "AlphaNumeric"}))
    assert re.fullmatch("[A-Za-z0-9]{24}", made["password"])
    assert scram_of_agent.matches("app", made["password"], made["verifier"])


def test_a_secret_that_somebody_made_is_taken_as_it_is() -> None:
    both = values(secret({"data": {"password": "mine", "verifier": VERIFIER}}))
    assert (both["password"], both["verifier"]) == ("mine", VERIFIER)
    alone = values(secret({"data": {"password": "grüße"}}))
    assert alone["password"] == "grüße" and scram_of_agent.matches("app", "grüße", alone["verifier"])


def test_a_verifier_that_was_brought_along_is_kept_and_its_password_stays_unknown() -> None:
    made = secret({"data": {"verifier": VERIFIER}})
    assert "password" not in made["data"] and values(made)["verifier"] == VERIFIER
    assert values(made)["uri"] == "postgresql://app@demo-primary.databases.svc:5432/shop"
    assert values(made)["jdbc-uri"].endswith("/shop?user=app")
    noted = {"annotations": made["metadata"]["annotations"], "data": {"verifier": VERIFIER}}
    assert secret(noted, managed=True) == made
    renewed = values(secret({**noted, "data": {"verifier": VERIFIER, "password": ""}}, managed=True))
    assert len(renewed["password"]) == 24 and renewed["verifier"] != VERIFIER


@pytest.mark.parametrize("data", [{"verifier": VERIFIER}, {"verifier": VERIFIER, "password": ""}, {}])
def test_a_password_of_ours_that_was_deleted_or_blanked_is_renewed(data: dict[str, str]) -> None:
    made = secret({"data": data}, managed=True)
    assert len(values(made)["password"]) == 24 and values(made)["verifier"] != VERIFIER
    assert "annotations" not in made["metadata"]


def test_a_secret_that_is_no_text_is_refused_and_other_keys_do_not_matter() -> None:
    (user,) = cluster()["users"]
    with pytest.raises(Refused, match="Secret demo-pguser-demo in namespace databases"):
        users.secret(user, {"data": {"password": "//4="}}, generate=True)
    assert users.secret(user, {"data": {"tls.key": "//4="}}, generate=True)["data"].keys() >= {"password"}


# What the agent says

APPLIED = {"users": {"demo": {"code": "applied", "secret": "7"}}, "databases": {"demo": {"code": "applied"}}}


def looked(report: dict[str, Any] | None) -> access_status.Word:
    memory, declared = Memory(), json.dumps(cluster()["access"])
    annotations = {} if report is None else {"status": json.dumps({"revision": access.revision(declared), **report})}
    found = {"metadata": {"annotations": annotations}, "data": {"users": declared}}
    memory.objects[f"{BASE}/configmaps/demo-users"] = found
    memory.objects[f"{BASE}/secrets/demo-pguser-demo"] = {"metadata": {"resourceVersion": "7"}}
    return access_status.look(memory, "databases", "demo-users")


def test_nothing_is_missing_once_the_agent_has_applied_these_versions() -> None:
    assert looked(APPLIED) == access_status.Word()
    assert access_status.look(Memory(), "databases", "demo-users") == access_status.Word()


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (None, "has not taken up"),
        ({"revision": "older", **APPLIED}, "has not taken up"),
        ({"users": {"demo": {"code": "applied", "secret": "6"}}}, "user demo: its Secret has changed"),
        ({"users": {"demo": {"code": "trying", "text": "lock timeout"}}}, "user demo: lock timeout (trying)"),
    ],
)
def test_what_will_come_by_itself_is_waited_for(report: dict[str, Any] | None, said: str) -> None:
    word = looked(report)
    assert word.refused == () and said in word.waiting[0]


def test_what_a_person_must_change_is_not_waited_for() -> None:
    word = looked({**APPLIED, "databases": {"demo": {"code": "database-differs", "text": "its locale is C"}}})
    assert word == access_status.Word(refused=("database demo: its locale is C (database-differs)",))
    assert looked({"trouble": "surplus"}).refused == ("users and databases: surplus",)


def test_a_report_that_cannot_be_read_is_none() -> None:
    memory = Memory()
    found = {"metadata": {"annotations": {"status": "{"}}, "data": {"users": "{}"}}
    memory.objects[f"{BASE}/configmaps/demo-users"] = found
    assert "has not taken up" in access_status.look(memory, "databases", "demo-users").waiting[0]
