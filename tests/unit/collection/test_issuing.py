"""Certificates: renewed for a reason, and an authority replaced step by step, wherever a run was interrupted."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible_collections.pgherd.postgres.plugins.module_utils import issuing, x509
from ansible_collections.pgherd.postgres.plugins.module_utils.difference import LATER
from ansible_collections.pgherd.postgres.plugins.module_utils.issuing import Authority, Issue, Member, Policy
from cryptography.x509 import DNSName, load_pem_x509_certificate, load_pem_x509_certificates
from cryptography.x509.oid import ExtendedKeyUsageOID

from .rendering import cluster

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
USUAL = Policy()
LEAVES = cluster()["certificates"]
PODS = [each["pod"] for each in cluster()["members"]]
Live = dict[str, Any]


def issue(
    live: Live, now: datetime = NOW, members: Sequence[Member] = (), policy: Policy = USUAL, generate: bool = True,
    brought: x509.Pair | None = None, leaves: Any = LEAVES,
) -> Issue:  # fmt: skip
    authority = Authority("demo-ca", "demo", brought)
    metadata = {"namespace": "databases", "labels": {}}
    return issuing.issue(authority, leaves, live, members, policy, metadata, now, generate)


def stored(found: Issue) -> Live:
    return {each.secret: each.definition for each in found.issued if each.definition}


def value(live: Live, name: str, key: str = "tls.crt") -> bytes:
    return base64.b64decode(live[name]["data"][key])


def roots(live: Live, name: str = "demo-cluster-cert") -> list[str]:
    found = x509.valid_certificates(value(live, name, "ca.crt"), NOW)
    return [x509.fingerprint(each) for each in found]


def signer(live: Live, name: str = "demo-cluster-cert") -> str:
    """Which of the roots signed this leaf."""
    pems = x509.valid_certificates(value(live, name, "ca.crt"), NOW)
    return next(x509.fingerprint(each) for each in pems if x509.signed_by(value(live, name), each))


def following(found: Issue) -> list[Member]:
    """Every member uses what is in the Secrets."""
    return [
        Member(
            pod,
            {
                each.kind: {"serves": each.serves, "trusts": sorted(each.trusts)}
                for each in found.expected
                if each.member in ("", pod)
            },
        )
        for pod in PODS
    ]


def reasons(found: Issue) -> set[str]:
    return {each.reason for each in found.issued}


def test_certificates_say_what_their_users_need() -> None:
    made = stored(issue({}))
    assert set(made) == {
        "demo-ca", "demo-cluster-cert", "demo-replication-cert", "demo-instance1-23r5-certs",
        "demo-instance1-chbj-certs", "demo-instance1-6flh-certs",
    }  # fmt: skip
    server = load_pem_x509_certificate(value(made, "demo-cluster-cert"))
    names = server.extensions.get_extension_for_class(x509.x509.SubjectAlternativeName).value.get_values_for_type(
        DNSName
    )
    assert {"demo-primary.databases.svc", "demo-replicas", "demo-ha.databases", "localhost",
            "demo-instance1-23r5-0.demo-pods"} <= set(names)  # fmt: skip
    client = load_pem_x509_certificate(value(made, "demo-replication-cert"))
    usage = client.extensions.get_extension_for_class(x509.x509.ExtendedKeyUsage).value
    assert client.subject.rfc4514_string() == "CN=pgherd_replication"
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert server.signature_hash_algorithm is not None and server.signature_hash_algorithm.name == "sha256"
    assert len(load_pem_x509_certificates(value(made, "demo-cluster-cert", "ca.crt"))) == 1


def test_certificates_are_kept_and_renewed_with_a_third_left() -> None:
    first = stored(issue({}))
    assert stored(issue(first, NOW + 240 * DAY)) == first
    again = issue(first, NOW + 250 * DAY)
    assert [each.reason for each in again.issued] == [""] + ["less than a third of its life is left"] * 5
    assert stored(again)["demo-ca"] == first["demo-ca"] and not again.replacing


def test_a_member_that_is_down_does_not_hold_renewals_up() -> None:
    found = issue({})
    down = [Member(PODS[0]), *following(found)[1:]]
    again = issue(stored(found), NOW + 250 * DAY, down)
    assert sum(bool(each.reason) for each in again.issued) == 5
    waits = list(issuing.unconfirmed(again.expected, down, everybody=again.replacing))
    assert len(waits) == 6 and not [each for each in waits if PODS[0] in each]


def test_how_long_they_live_is_a_matter_of_policy() -> None:
    policy = Policy(authority_life=60 * DAY, leaf_life=20 * DAY)
    found = issue({}, policy=policy)
    lives = [datetime.fromisoformat(each.expires) - NOW for each in found.issued]
    assert lives == [60 * DAY] + [20 * DAY] * 5


def test_another_name_renews_only_the_certificate_that_bears_it() -> None:
    first = stored(issue({}))
    changed = [
        each for each in issue(first, leaves=cluster(certificate_names=["db.example.org"])["certificates"]).issued
        if each.reason
    ]  # fmt: skip
    assert [each.secret for each in changed] == ["demo-cluster-cert"]


def test_a_request_renews_what_it_names_and_nothing_else() -> None:
    found = issue({})
    again = issue(stored(found), members=following(found), policy=Policy(renew=frozenset({"rest"})))
    assert {each.kind for each in again.issued if each.reason == "it was asked for"} == {"rest"}
    assert sum(bool(each.reason) for each in again.issued) == 3


REPLACE = Policy(renew=frozenset({"authority"}))


def test_an_authority_is_replaced_in_three_steps_that_wait_for_the_members() -> None:
    start = issue({})
    old = roots(stored(start))
    first = issue(stored(start), members=following(start), policy=REPLACE)
    assert first.replacing and reasons(first) == {"", "it was asked for"}
    new = roots(stored(first))[:1]
    assert new != old and roots(stored(first)) == new + old
    assert signer(stored(first)) == old[0], "nobody trusts the new one yet"

    waiting = following(start)
    assert stored(issue(stored(first), members=waiting)) == stored(first), "one member has not followed"
    some = [*following(first)[:2], waiting[2]]
    assert stored(issue(stored(first), members=some)) == stored(first)
    assert list(issuing.unconfirmed(first.expected, some, first.replacing)) == [
        f"{PODS[2]} does not trust the new authority of its {kind} certificate yet"
        for kind in ("server", "replication", "rest")
    ]

    second = issue(stored(first), members=following(first))
    assert second.replacing and roots(stored(second)) == new + old
    assert {signer(stored(second), each["secret"]) for each in LEAVES} == set(new)
    assert stored(issue(stored(second), members=following(first))) == stored(second), "the new leaves are not in use"

    third = issue(stored(second), members=following(second))
    assert not third.replacing and roots(stored(third)) == new and reasons(third) == {""}
    assert [value(stored(third), each["secret"]) for each in LEAVES] == [
        value(stored(second), each["secret"]) for each in LEAVES
    ]
    last = issue(stored(third), members=following(third))
    assert stored(last) == stored(third) and not list(issuing.unconfirmed(last.expected, following(third), False))
    stale = list(issuing.unconfirmed(third.expected, following(second), everybody=False))
    assert len(stale) == 9 and "trusts the old authority of its server certificate still" in stale[0]


POOLED = cluster(pooler={"replicas": 1})["certificates"]
POOLER = Member("demo-pgbouncer-7d9c-x", silent=True)


def test_poolers_which_say_nothing_have_their_time_before_the_old_authority_goes() -> None:
    start = issue({}, leaves=POOLED)
    found = issue(stored(start), members=[*following(start), POOLER], policy=REPLACE, leaves=POOLED)
    both, later = roots(stored(found)), NOW + DAY
    second = issue(stored(found), later, [*following(found), POOLER], leaves=POOLED)
    assert signer(stored(second), "demo-pgbouncer") == both[0], "nothing waits for its word"
    everybody = [*following(second), POOLER]
    assert not list(issuing.unconfirmed(second.expected, everybody, everybody=True))
    due = later + issuing.POOLERS_TIME
    early = issue(stored(second), due - timedelta(seconds=1), everybody, leaves=POOLED)
    assert (early.held, early.replacing, roots(stored(early), "demo-pgbouncer")) == (due, True, both)
    for now, members in ((due, everybody), (later, following(second))):
        last = issue(stored(second), now, members, leaves=POOLED)
        assert (last.held, last.replacing, roots(stored(last))) == (None, False, both[:1])


def test_a_member_that_has_not_followed_is_waited_for_first() -> None:
    start = issue({}, leaves=POOLED)
    found = issue(stored(start), members=[*following(start), POOLER], policy=REPLACE, leaves=POOLED)
    second = issue(stored(found), members=[*following(found), POOLER], leaves=POOLED)
    again = issue(stored(second), NOW + DAY, [*following(found), POOLER], leaves=POOLED)
    assert (again.held, again.replacing) == (None, True)


@pytest.mark.parametrize("step", [1, 2])
def test_the_request_repeated_after_an_interruption_finishes_the_first(step: int) -> None:
    found = issue({})
    found = issue(stored(found), members=following(found), policy=REPLACE)
    new = roots(stored(found))[0]
    if step == 2:
        found = issue(stored(found), members=following(found))
    for _ in range(3):
        found = issue(stored(found), members=following(found), policy=REPLACE)
        if not found.replacing:
            break
    assert roots(stored(found)) == [new] and signer(stored(found)) == new


def test_secrets_written_only_in_part_are_finished() -> None:
    """The process ended between two Secrets of a step: some have the new authority, some do not."""
    start = issue({})
    first = issue(stored(start), members=following(start), policy=REPLACE)
    torn = {**stored(start), **{name: stored(first)[name] for name in ("demo-ca", "demo-replication-cert")}}
    again = issue(torn, members=following(start))
    assert {name: roots(stored(again), name) for name in torn} == {name: roots(stored(first), name) for name in torn}
    lost = {**stored(start), "demo-replication-cert": stored(first)["demo-replication-cert"]}
    again = issue(lost, members=following(start))
    assert signer(stored(again)) == roots(stored(start))[0], "a root whose key was never stored signs nothing"


def test_clients_have_their_time_before_the_new_one_signs() -> None:
    start, policy = issue({}), Policy(overlap=7 * DAY)
    first = issue(stored(start), NOW, following(start), replace(policy, renew=frozenset({"authority"})))
    old = roots(stored(start))[0]
    early = issue(stored(first), NOW + 6 * DAY, following(first), policy)
    assert signer(stored(early)) == old and "2026-01-08 00:00" in early.later
    due = issue(stored(first), NOW + 7 * DAY, following(first), policy)
    assert signer(stored(due)) != old and due.later == ""


def test_clients_have_their_time_with_an_authority_that_is_years_old() -> None:
    """It counts from when they could find it, not from when it was made."""
    pair, policy = x509.new_authority("our company", NOW - 400 * DAY, 3650 * DAY), Policy(overlap=DAY)
    start = issue({})
    first = issue(stored(start), NOW, following(start), policy, brought=pair)
    old = roots(stored(start))[0]
    assert len(roots(stored(first))) == 2 and "2026-01-02 00:00" in first.later
    early = issue(stored(first), NOW + 0.9 * DAY, following(first), policy, brought=pair)
    assert signer(stored(early)) == old and stored(early) == {
        name: each for name, each in stored(first).items() if name in stored(early)
    }
    due = issue(stored(early), NOW + DAY, following(early), policy, brought=pair)
    assert signer(stored(due)) != old and due.later == ""
    last = issue(stored(due), NOW + DAY, following(due), policy, brought=pair)
    assert not last.replacing and "annotations" not in stored(last)["demo-cluster-cert"]["metadata"]
    again = issue(stored(last), NOW + 2 * DAY, following(last), policy, brought=pair)
    assert stored(again) == stored(last), "a second run has nothing to do"


def test_a_secret_that_got_the_new_authority_last_counts() -> None:
    pair, policy = x509.new_authority("our company", NOW - 400 * DAY, 3650 * DAY), Policy(overlap=DAY)
    start = issue({})
    first = issue(stored(start), NOW, following(start), policy, brought=pair)
    torn = {**stored(start), "demo-replication-cert": stored(first)["demo-replication-cert"]}
    again = issue(torn, NOW + DAY, following(first), policy, brought=pair)
    assert "2026-01-03 00:00" in again.later


def test_a_leaf_that_has_expired_does_not_wait_for_the_new_authority() -> None:
    start = issue({}, policy=Policy(leaf_life=30 * DAY))
    policy = Policy(renew=frozenset({"authority"}), overlap=7 * DAY)
    late = NOW + 31 * DAY
    again = issue(stored(start), late, following(start), policy)
    made = load_pem_x509_certificate(value(stored(again), "demo-cluster-cert"))
    assert made.not_valid_after_utc > late and len(roots(stored(again))) == 2


def test_an_authority_with_a_third_left_is_replaced_in_time() -> None:
    start = issue({}, policy=Policy(authority_life=90 * DAY, leaf_life=30 * DAY))
    again = issue(stored(start), NOW + 61 * DAY, following(start))
    assert again.issued[0].reason == "less than a third of its life is left" and again.replacing


def test_a_lost_key_is_replaced_while_members_go_on_with_what_they_have() -> None:
    start = issue({})
    broken = {**stored(start), "demo-ca": {"data": {**stored(start)["demo-ca"]["data"], "tls.key": ""}}}
    again = issue(broken, members=following(start))
    assert again.issued[0].reason == "it is missing" and len(roots(stored(again))) == 2
    assert value(stored(again), "demo-cluster-cert") == value(broken, "demo-cluster-cert")
    without = {name: each for name, each in stored(start).items() if name != "demo-ca"}
    assert len(roots(stored(issue(without, members=following(start))))) == 2, "the leaves remember it"


def test_with_nobody_running_an_authority_is_replaced_at_once() -> None:
    start = issue({})
    again = issue(stored(start), policy=REPLACE)
    assert not again.replacing and roots(stored(again)) != roots(stored(start))
    assert sum(bool(each.reason) for each in again.issued) == 6


def test_an_authority_that_was_put_there_is_taken() -> None:
    pair = x509.new_authority("our company", NOW - 5 * DAY, 3650 * DAY)
    data = {"tls.crt": base64.b64encode(pair.certificate).decode(), "tls.key": base64.b64encode(pair.key).decode()}
    made = stored(issue({"demo-ca": {"data": data}}))
    assert made["demo-ca"]["data"]["tls.key"] == data["tls.key"]
    leaf = load_pem_x509_certificate(value(made, "demo-cluster-cert"))
    assert leaf.issuer.rfc4514_string() == "CN=our company"
    tls = {"demo-ca": {"type": "kubernetes.io/tls", "data": data}}
    assert stored(issue(tls))["demo-ca"]["type"] == "kubernetes.io/tls", "the API refuses another type"


def test_one_that_others_own_signs_and_is_never_written() -> None:
    pair = x509.new_authority("namespace", NOW, 90 * DAY)
    found = issue({}, NOW + 80 * DAY, brought=pair)
    assert "demo-ca" not in stored(found) and found.issued[0].definition is None
    assert signer(stored(found)) == x509.fingerprint(pair.certificate)
    until = datetime.fromisoformat(found.issued[1].expires)
    assert until == NOW + 90 * DAY, "a leaf never outlives its authority"


def test_moving_to_another_authority_takes_the_same_steps() -> None:
    start, pair = issue({}), x509.new_authority("namespace", NOW, 3650 * DAY)
    old, new = roots(stored(start))[0], x509.fingerprint(pair.certificate)
    found = issue(stored(start), members=following(start), brought=pair)
    assert (roots(stored(found)), signer(stored(found))) == ([new, old], old)
    for _ in range(2):
        found = issue(stored(found), members=following(found), brought=pair)
    assert (roots(stored(found)), signer(stored(found)), found.replacing) == ([new], new, False)


def test_without_leave_no_key_is_made() -> None:
    made = issue({}, generate=False)
    assert {each for found in stored(made).values() for each in found["data"].values()} == {LATER}
    assert {each.expires for each in made.issued} == {LATER}


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
    assert [each.reason for each in issue(damaged).issued if each.reason] == [said]
