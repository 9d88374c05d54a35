"""Passwords, verifiers and certificates: made once, kept, renewed for a reason, and never shown."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible_collections.pgherd.postgres.plugins.module_utils import certificates, scram, users, x509
from ansible_collections.pgherd.postgres.plugins.module_utils.difference import LATER
from cryptography.x509 import DNSName, load_pem_x509_certificate, load_pem_x509_certificates
from cryptography.x509.oid import ExtendedKeyUsageOID

from .rendering import cluster

NOW = datetime(2026, 1, 1, tzinfo=UTC)
METADATA = {"namespace": "databases", "labels": {}}


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


def issue(
    live: dict[str, Any], now: datetime = NOW, generate: bool = True, **changes: Any
) -> list[certificates.Issued]:
    declared = cluster(**changes)
    return certificates.issue("demo-ca", "demo", declared["certificates"], live, METADATA, now, generate)


def stored(issued: list[certificates.Issued]) -> dict[str, Any]:
    return {each.definition["metadata"]["name"]: each.definition for each in issued}


def test_certificates_say_what_their_users_need() -> None:
    made = stored(issue({}))
    assert set(made) == {
        "demo-ca", "demo-cluster-cert", "demo-replication-cert", "demo-instance1-23r5-certs",
        "demo-instance1-chbj-certs", "demo-instance1-6flh-certs",
    }  # fmt: skip
    server = load_pem_x509_certificate(decoded(made["demo-cluster-cert"])["tls.crt"].encode())
    names = server.extensions.get_extension_for_class(x509.x509.SubjectAlternativeName).value.get_values_for_type(
        DNSName
    )
    assert {"demo-primary.databases.svc", "demo-replicas", "demo-ha.databases", "localhost",
            "demo-instance1-23r5-0.demo-pods"} <= set(names)  # fmt: skip
    client = load_pem_x509_certificate(decoded(made["demo-replication-cert"])["tls.crt"].encode())
    usage = client.extensions.get_extension_for_class(x509.x509.ExtendedKeyUsage).value
    assert client.subject.rfc4514_string() == "CN=pgherd_replication"
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert server.signature_hash_algorithm is not None and server.signature_hash_algorithm.name == "sha256"


def test_certificates_are_kept_and_renewed_with_a_third_left() -> None:
    first = stored(issue({}))
    assert stored(issue(first, NOW + timedelta(days=240))) == first
    again = issue(first, NOW + timedelta(days=250))
    assert [each.reason for each in again] == [""] + ["less than a third of its life is left"] * 5
    assert stored(again)["demo-ca"] == first["demo-ca"]


def test_another_name_renews_only_the_certificate_that_bears_it() -> None:
    first = stored(issue({}))
    changed = [each for each in issue(first, certificate_names=["db.example.org"]) if each.reason]
    assert [each.definition["metadata"]["name"] for each in changed] == ["demo-cluster-cert"]


def test_a_lost_authority_renews_all_and_both_are_trusted_meanwhile() -> None:
    first = stored(issue({}))
    broken = {**first, "demo-ca": {"data": {**first["demo-ca"]["data"], "tls.key": ""}}}
    again = issue(broken)
    assert all(each.reason for each in again)
    bundle = load_pem_x509_certificates(decoded(stored(again)["demo-cluster-cert"])["ca.crt"].encode())
    assert len(bundle) == 2
    assert issue(stored(again))[0].reason == ""


def test_an_authority_that_was_brought_along_is_taken() -> None:
    pair = x509.new_authority("our company", NOW - timedelta(days=5))
    data = {"tls.crt": base64.b64encode(pair.certificate).decode(), "tls.key": base64.b64encode(pair.key).decode()}
    made = stored(issue({"demo-ca": {"data": data}}))
    assert made["demo-ca"]["data"]["tls.key"] == data["tls.key"]
    leaf = load_pem_x509_certificate(decoded(made["demo-cluster-cert"])["tls.crt"].encode())
    assert leaf.issuer.rfc4514_string() == "CN=our company"
    tls = {"demo-ca": {"type": "kubernetes.io/tls", "data": data}}
    assert stored(issue(tls))["demo-ca"]["type"] == "kubernetes.io/tls", "the API refuses another type"


def test_without_leave_no_key_is_made() -> None:
    made = issue({}, generate=False)
    assert {value for each in made for value in each.definition["data"].values()} == {LATER}
    assert {each.expires for each in made} == {LATER}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tls.crt": "bm90IGEgY2VydGlmaWNhdGU="}, "it cannot be read"),
        ({"tls.key": ""}, "it is missing"),
    ],
)
def test_damaged_leaves_are_made_anew(change: dict[str, str], said: str) -> None:
    first = stored(issue({}))
    damaged = {**first, "demo-cluster-cert": {"data": {**first["demo-cluster-cert"]["data"], **change}}}
    assert [each.reason for each in issue(damaged) if each.reason] == [said]
