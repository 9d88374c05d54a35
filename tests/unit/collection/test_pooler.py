"""Poolers: what a declaration may say, and what comes of it."""

from __future__ import annotations

import base64
import configparser
from typing import Any

import pytest
import yaml
from ansible_collections.pgherd.postgres.plugins.module_utils.declaration import Invalid
from ansible_collections.pgherd.postgres.plugins.module_utils.users import secret

from tests.unit.collection.rendering import cluster, rendered


def objects(**pooler: Any) -> dict[tuple[str, str], dict[str, Any]]:
    made, _ = rendered(cluster(pooler=pooler))
    return {(each["kind"], each["metadata"]["name"]): each for each in made}


def ini(made: dict[tuple[str, str], dict[str, Any]], name: str = "demo-pgbouncer") -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None, comment_prefixes=("#",))
    parser.read_string(made["ConfigMap", name]["data"]["pgbouncer.ini"])
    return parser


def test_without_a_pooler_there_is_nothing_of_it() -> None:
    made, _ = rendered(cluster())
    assert not [each for each in made if "pgbouncer" in each["metadata"]["name"] or each["kind"] == "Deployment"]
    [config] = [each for each in made if each["metadata"]["name"] == "demo-config"]
    assert "pooler" not in yaml.safe_load(config["data"]["pgherd.yaml"])


def test_the_primary_is_pooled_over_tls_on_both_sides() -> None:
    made = objects(replicas=2)
    assert made["Deployment", "demo-pgbouncer"]["spec"]["replicas"] == 2
    assert made["PodDisruptionBudget", "demo-pgbouncer"]["spec"]["minAvailable"] == 1
    assert ("Deployment", "demo-pgbouncer-ro") not in made
    settings = ini(made)
    assert settings["databases"]["*"].split() == ["host=demo-primary.databases.svc", "port=5432"]
    section = settings["pgbouncer"]
    assert (section["client_tls_sslmode"], section["server_tls_sslmode"]) == ("require", "verify-full")
    assert section["pool_mode"] == "transaction"
    own = yaml.safe_load(made["ConfigMap", "demo-pgbouncer"]["data"]["pooler.yaml"])
    assert own == {"host": "demo-primary.databases.svc", "port": 5432, "rest_port": 8008, "console_port": 5432,
                   "pausable": True}  # fmt: skip
    config = yaml.safe_load(made["ConfigMap", "demo-config"]["data"]["pgherd.yaml"])
    assert config["pooler"] == {"rest_port": 8008}


def test_no_object_of_a_pooler_holds_a_password() -> None:
    made = objects(read_only_replicas=1)
    users = made["ConfigMap", "demo-pgbouncer"]["data"]["users.txt"].splitlines()
    assert [line.split()[1] for line in users] == ['""', '""']


def test_the_console_is_for_the_pod_alone() -> None:
    lines = objects(replicas=1)["ConfigMap", "demo-pgbouncer"]["data"]["pg_hba.conf"].splitlines()
    assert lines[:2] == ["local pgbouncer postgres peer", "local all all reject"]
    for address in ("0.0.0.0/0", "::/0"):
        mine = [line for line in lines if address in line]
        assert mine == [f"host pgbouncer all {address} reject", f"hostssl all pgherd_pooler {address} reject",
                        f"hostssl all all {address} scram-sha-256"]  # fmt: skip


def test_replicas_have_a_pool_of_their_own_that_no_switchover_pauses() -> None:
    made = objects(read_only_replicas=2)
    assert ini(made, "demo-pgbouncer-ro")["databases"]["*"].startswith("host=demo-replicas.databases.svc ")
    own = yaml.safe_load(made["ConfigMap", "demo-pgbouncer-ro"]["data"]["pooler.yaml"])
    assert own["pausable"] is False
    selectors = [made["Service", name]["spec"]["selector"]["pgherd.dev/role"] for name in
                 ("demo-pgbouncer", "demo-pgbouncer-ro")]  # fmt: skip
    assert selectors == ["pgbouncer", "pgbouncer-ro"]


def test_its_certificate_serves_both_services_and_logs_in_at_the_server() -> None:
    wanted = {each["secret"]: each for each in cluster(pooler={"read_only_replicas": 1})["certificates"]}
    pooler = wanted["demo-pgbouncer"]
    assert pooler["common_name"] == "pgherd_pooler" and pooler["server"] and pooler["client"]
    assert {"demo-pgbouncer", "demo-pgbouncer.databases.svc", "demo-pgbouncer-ro"} <= set(pooler["dns"])
    assert "demo-pgbouncer" not in {each["secret"] for each in cluster()["certificates"]}


def test_an_authority_is_not_replaced_before_poolers_can_know_it() -> None:
    with pytest.raises(Invalid, match="postgres_authority_overlap_days=0: must be at least 1 with postgres_pooler"):
        cluster(pooler={"replicas": 1}, authority_overlap_days=0)
    assert cluster(authority_overlap_days=0)


def test_users_get_the_pooler_s_address_under_pgo_s_keys() -> None:
    [user] = cluster(pooler={"port": 6432})["users"]
    data = {name: base64.b64decode(value).decode() for name, value in secret(user, None, True)["data"].items()}
    assert (data["pgbouncer-host"], data["pgbouncer-port"]) == ("demo-pgbouncer.databases.svc", "6432")
    assert "@demo-pgbouncer.databases.svc:6432/demo" in data["pgbouncer-uri"]
    assert "prepareThreshold=0" in data["pgbouncer-jdbc-uri"] and "prepareThreshold" not in data["jdbc-uri"]
    [user] = cluster()["users"]
    assert not [name for name in secret(user, None, True)["data"] if name.startswith("pgbouncer")]


def test_parameters_of_the_user_come_last_and_databases_replace_the_one_for_all() -> None:
    given = {"parameters": {"max_client_conn": 50}, "databases": {"app": "pool_size=20"}}
    made = objects(**given, pool_mode="session", port=6432)
    settings = ini(made)
    assert settings["pgbouncer"]["max_client_conn"] == "50"
    assert list(settings["databases"]) == ["app"] and settings["databases"]["app"].endswith("pool_size=20")
    assert settings["pgbouncer"]["pool_mode"] == "session"
    assert made["Service", "demo-pgbouncer"]["spec"]["ports"][0]["port"] == 6432


@pytest.mark.parametrize(
    ("pooler", "words"),
    [
        ({"replica": 1}, "postgres_pooler.replica"),
        ({"replicas": -1}, "postgres_pooler.replicas=-1: must be a whole number from 0 to 100"),
        ({"pool_mode": "query"}, "must be one of session, transaction, statement"),
        ({"port": 8008}, "is also postgres_rest_port"),
        ({"node_port": 30000}, "needs postgres_pooler.service_type NodePort or LoadBalancer"),
        ({"parameters": {"auth_type": "trust"}}, "postgres_pooler.parameters.auth_type"),
        ({"parameters": {"server_tls_sslmode": "disable"}}, "belongs to pgherd"),
        ({"parameters": {"log_stats": "1\nauth_type = trust"}}, "in one line"),
        ({"parameters": {"x = 1\nauth_type": "trust"}}, "must be the name of one of PgBouncer's settings"),
        ({"databases": {"app": "host=elsewhere"}}, "must not say host, port"),
        ({"databases": {"app\n[pgbouncer]": ""}}, "the name must be"),
    ],
)
def test_what_cannot_work_is_refused(pooler: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid) as caught:
        cluster(pooler=pooler)
    assert words in str(caught.value)
