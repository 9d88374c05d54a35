"""Certificates that somebody brought along: what is wrong with them is said before anything is changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible_collections.pgherd.postgres.plugins.module_utils import brought, x509
from ansible_collections.pgherd.postgres.plugins.module_utils.declaration import Invalid

from .rendering import cluster, rendered

NOW, DAY = datetime(2026, 1, 1, tzinfo=UTC), timedelta(days=1)
ROOT, OTHER = (x509.new_authority(name, NOW, 3650 * DAY) for name in ("our company", "somebody else"))
HOSTS = ("demo-primary.databases.svc", "*.demo-pods")
CUSTOM = {"custom_tls_secret": {"name": "ours"}, "custom_replication_tls_secret": {"name": "ours-too"}}


def wanted(**changes: Any) -> dict[str, Any]:
    server, _ = cluster(**{**CUSTOM, **changes})["custom_certificates"]
    return dict(server)


SERVER = x509.Leaf("db", HOSTS)


def data(leaf: x509.Leaf = SERVER, life: timedelta = 90 * DAY, **changes: bytes) -> dict[str, bytes]:
    made = x509.new_leaf(ROOT, leaf, NOW, life)
    found = {"tls.crt": made.certificate, "tls.key": made.key, "ca.crt": ROOT.certificate}
    return found | {name.replace("_", "."): value for name, value in changes.items()}


def test_one_that_fits_is_taken_under_whatever_keys_it_has() -> None:
    assert brought.problems(wanted(), data(), NOW) == []
    items = [{"key": "cert", "path": "tls.crt"}, {"key": "root", "path": "ca.crt"}]
    given = data()
    renamed = {"cert": given["tls.crt"], "tls.key": given["tls.key"], "root": given["ca.crt"]}
    assert brought.problems(wanted(custom_tls_secret={"name": "ours", "items": items}), renamed, NOW) == []


PLAIN = data()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "postgres_custom_tls_secret: Secret ours does not exist"),
        ({"cert": b"x", "tls.key": b"x"}, "has no tls.crt and no ca.crt; it has cert, tls.key"),
        ({**PLAIN, "tls.key": data()["tls.key"]}, "tls.crt and tls.key: certificate and key do not belong together"),
        ({**PLAIN, "tls.crt": b"x"}, "tls.crt and tls.key: it cannot be read"),
        ({**PLAIN, "ca.crt": OTHER.certificate}, "tls.crt: its chain does not end at a certificate of ca.crt"),
        ({**PLAIN, "ca.crt": b"x"}, "ca.crt: it has no certificate that is valid today"),
        (
            data(x509.Leaf("db", ("*.demo-pods",))),
            "must be valid for demo-primary.databases.svc; it is for *.demo-pods",
        ),
        (data(x509.Leaf("db", HOSTS[:1])), "must be valid for demo-instance1-23r5-0.demo-pods"),
    ],
)
def test_what_cannot_work_is_named_with_secret_and_key(given: dict[str, bytes] | None, said: str) -> None:
    (text,) = brought.problems(wanted(), given, NOW)
    assert text.startswith("postgres_custom_tls_secret: Secret ours") and said in text


def test_one_that_has_expired_is_refused() -> None:
    texts = brought.problems(wanted(), data(life=2 * DAY), NOW + 3 * DAY)
    assert "it expired on 2026-01-03" in texts[0]


def test_replication_is_by_its_user() -> None:
    _, client = cluster(**CUSTOM)["custom_certificates"]
    (text,) = brought.problems(client, data(x509.Leaf("somebody", server=False, client=True)), NOW)
    assert "its common name is somebody; it must be pgherd_replication" in text
    assert not brought.problems(client, data(x509.Leaf("pgherd_replication", server=False, client=True)), NOW)


def test_both_must_accept_each_other() -> None:
    server, client = cluster(**CUSTOM)["custom_certificates"]
    mine = data(x509.Leaf("pgherd_replication", server=False, client=True))
    assert brought.strangers([(server, data()), (client, mine)], NOW) == []
    made = x509.new_leaf(OTHER, x509.Leaf("pgherd_replication", server=False, client=True), NOW, 90 * DAY)
    both = {"tls.crt": made.certificate, "tls.key": made.key, "ca.crt": OTHER.certificate + ROOT.certificate}
    (text,) = brought.strangers([(server, data()), (client, both)], NOW)
    assert text.startswith("postgres_custom_tls_secret: Secret ours, ca.crt: it lacks the authority of Secret ours-too")


def test_none_is_issued_in_its_place_and_pods_mount_it() -> None:
    items = [{"key": "cert", "path": "tls.crt"}]
    declared = cluster(**CUSTOM | {"custom_tls_secret": {"name": "ours", "items": items}})
    assert {each["kind"] for each in declared["certificates"]} == {"rest"}
    (pod, *_) = (each for each in rendered(declared)[0] if each["kind"] == "StatefulSet")
    (volume,) = (each for each in pod["spec"]["template"]["spec"]["volumes"] if each["name"] == "cert-volume")
    mounted = {
        item["path"]: (source["secret"]["name"], item["key"])
        for source in volume["projected"]["sources"]
        for item in source["secret"]["items"]
    }
    assert mounted["tls.crt"] == ("ours", "cert") and mounted["tls.key"] == ("ours", "tls.key")
    assert mounted["replication/ca.crt"] == ("ours-too", "ca.crt")
    assert mounted["rest/tls.crt"][0].endswith("-certs") and len(mounted) == 12


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"custom_tls_secret": {"name": "ours"}}, "needs postgres_custom_replication_tls_secret too"),
        ({"custom_replication_tls_secret": {"name": "ours"}}, "needs postgres_custom_tls_secret too"),
        (CUSTOM | {"custom_tls_secret": {"name": "A b"}}, 'custom_tls_secret.name="A b": must be a DNS name'),
        (CUSTOM | {"custom_tls_secret": {"name": "a", "items": [{"key": "x", "path": "cert"}]}},
         'items[0].path="cert": must be one of tls.crt, tls.key, ca.crt'),
        (CUSTOM | {"custom_tls_secret": {"secret": "a"}}, "no such field"),
        (CUSTOM | {"renew_certificates": ["server"]}, "is brought along by postgres_custom_tls_secret"),
        ({"authority_secret": "ns", "renew_certificates": ["authority"]}, "brought along by postgres_authority_secret"),
        ({"renew_certificates": ["rset"]}, "must be one of server, replication, rest, authority, all"),
        ({"certificate_days": 2}, "postgres_certificate_days=2: must be a whole number from 3 to 36500"),
        ({"authority_days": 1000}, "postgres_authority_days=1000: must be at least 1095, three times"),
        ({"authority_overlap_days": 200}, "postgres_authority_overlap_days=200: must be at most 121, a third of"),
    ],
)  # fmt: skip
def test_variables_that_cannot_work_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid) as caught:
        cluster(**given)
    assert said in str(caught.value), caught.value


def test_all_is_every_certificate_but_not_the_authority() -> None:
    assert cluster(renew_certificates="all")["pki"]["renew"] == ["server", "replication", "rest"]
    assert cluster(renew_certificates="server, rest\n")["pki"]["renew"] == ["server", "rest"]
    both = cluster(renew_certificates=["all", "authority"])["pki"]["renew"]
    assert both == ["server", "replication", "rest", "authority"]
    assert cluster(renew_certificates="all", **CUSTOM)["pki"]["renew"] == ["rest"]
