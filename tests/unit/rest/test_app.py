"""The API without sockets: status codes, bodies, and who may do what."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from pgherd.model.access import Code, Report, Said
from pgherd.model.certificate import LOGINS, CertificateState
from pgherd.model.member import MemberStatus, Peer, Pod
from pgherd.model.parameters import Change
from pgherd.model.promises import Question, Verdict
from pgherd.model.slots import SlotState
from pgherd.rest import app
from pgherd.rest.health import RULES
from tests.unit.rest.stand_ins import MB, PRIMARY, REPLICA, Source


class Certified:
    """What the server's TLS layer adds for a verified client certificate."""

    def __init__(self, inner: ASGIApp, subject: str) -> None:
        self._inner, self._subject = inner, subject

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._inner({**scope, "extensions": {"tls": {"client_cert_name": self._subject}}}, receive, send)


def client(source: Source, certified: bool = False, subject: str = "CN=demo-b-0") -> TestClient:
    built = app.build(source, source.promise, source.ask, source.change, source.measure)
    return TestClient(Certified(built, subject) if certified else built)


@pytest.mark.parametrize("path", sorted(RULES))
def test_every_method_that_changes_nothing_answers_alike(path: str) -> None:
    with client(Source(replace(PRIMARY, role="none", state="crashed", holds_until=0.0))) as rest:
        get, head, options = (rest.request(method, path) for method in ("GET", "HEAD", "OPTIONS"))
    assert get.status_code == head.status_code == options.status_code
    assert options.content == b"" and get.json()["state"] == "crashed"
    assert ("reason" in get.json()) is (get.status_code == 503)


def test_a_refusal_says_why() -> None:
    with client(Source(REPLICA)) as rest:
        answer = rest.get("/primary")
        nonsense = rest.get("/replica?lag=much")
    assert answer.status_code == 503 and answer.json()["reason"] == "this member does not hold the lease"
    assert nonsense.status_code == 400 and "lag='much'" in nonsense.json()["error"]


def test_the_members_own_words_are_fresh_and_complete() -> None:
    source = Source(REPLICA)
    with client(source) as rest:
        answer = rest.get("/member")
    assert msgspec.json.decode(answer.content, type=MemberStatus) == REPLICA
    assert source.refreshed == 1


def test_a_server_that_does_not_answer_does_not_silence_its_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "REFRESH", 0.01)
    with client(Source(frozen=True)) as rest:
        assert rest.get("/member").status_code == 200


def test_the_document_has_patronis_keys() -> None:
    with client(Source(REPLICA)) as rest:
        body = rest.get("/patroni").json()
    assert body["role"] == "replica" and body["replication_state"] == "streaming" and body["timeline"] == 2
    assert body["xlog"] == {"received_location": 49 * MB, "replayed_location": 46 * MB}
    assert body["database_system_identifier"] == REPLICA.system_identifier and not body["cluster_unlocked"]


def test_a_pending_restart_is_shown_as_patroni_does() -> None:
    waits = {"max_connections": Change("100", "60")}
    with client(Source(replace(REPLICA, pending_restart=waits, refused="work_mem"))) as rest:
        body, cluster, lines = rest.get("/patroni").json(), rest.get("/cluster").json(), rest.get("/metrics").text
    reason = {"max_connections": {"old_value": "100", "new_value": "60"}}
    for shown in (body, cluster["members"][0]):
        assert (shown["pending_restart"], shown["pending_restart_reason"]) == (True, reason)
    assert body["pgherd"]["configuration_refused"] == "work_mem"
    for name in ("pending_restart", "configuration_refused"):
        assert f'pgherd_{name}{{cluster="demo",member="demo-b-0"}} 1.0' in lines
    with client(Source(REPLICA)) as rest:
        assert "pending_restart" not in rest.get("/patroni").json()


def test_the_cluster_shows_everybody() -> None:
    silent = Peer(Pod("demo-c-0", "uid-c", "10.0.0.3"))
    source = Source(PRIMARY, others=(silent, Peer(Pod("demo-b-0", "uid-b", "10.0.0.2"), REPLICA)))
    with client(source) as rest:
        body = rest.get("/cluster").json()
    shown = [(m["name"], m["role"], m["state"], m["host"], m.get("lag")) for m in body["members"]]
    assert shown == [
        ("demo-a-0", "leader", "running", "10.0.0.1", None),
        ("demo-b-0", "replica", "streaming", "10.0.0.2", MB),
        ("demo-c-0", "unknown", "no answer", "10.0.0.3", None),
    ]
    assert body["scope"] == "demo" and body["epoch"] == 3


def test_history_and_configuration() -> None:
    with client(Source(receipts=[{"epoch": 2}], kept={"ttl": 30, "mine": 1})) as rest:
        assert rest.get("/history").json() == [{"epoch": 2}]
        assert rest.get("/config").json() == {"ttl": 30, "mine": 1}


def test_metrics() -> None:
    with client(Source(REPLICA)) as rest:
        answer = rest.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = answer.text.splitlines()
    names = 'cluster="demo",member="demo-b-0"'
    assert f'pgherd_info{{{names},version="0.1.0"}} 1.0' in lines
    for name, value in [
        ("up", 1.0), ("primary", 0.0), ("streaming", 1.0), ("lag_bytes", MB), ("replay_lag_bytes", 4 * MB),
        ("lease_epoch", 3.0), ("lease_remaining_seconds", 0.0), ("timeline", 2.0),
    ]:  # fmt: skip
        shown = next(line for line in lines if line.startswith(f"pgherd_{name}{{"))
        assert shown.startswith(f"pgherd_{name}{{{names}}}") and float(shown.split()[1]) == value


def test_metrics_have_a_series_for_each_slot() -> None:
    slots = {"cdc": SlotState("logical", "lost", 0, "gone"), "demo_a_0": SlotState("physical", "kept", 77)}
    with client(Source(replace(REPLICA, slots=slots))) as rest:
        lines = rest.get("/metrics").text.splitlines()
    kept = {
        line.split('slot="')[1].split('"')[0]: line.split()[-1] for line in lines if line.startswith("pgherd_slot_k")
    }
    assert kept == {"cdc": "0.0", "demo_a_0": "1.0"}


def test_metrics_count_users_where_they_are_kept() -> None:
    users = {"app": Said(Code.APPLIED), "old": Said(Code.OWNS_OBJECTS, "it owns objects")}
    with client(Source(report=Report("r", users=users, repaired=3))) as rest:
        lines = rest.get("/metrics").text.splitlines()
    assert 'pgherd_users_wrong{cluster="demo",member="demo-a-0"} 1.0' in lines
    assert 'pgherd_users_repaired{cluster="demo",member="demo-a-0"} 3.0' in lines
    with client(Source(REPLICA)) as rest:
        assert "pgherd_users" not in rest.get("/metrics").text


def test_metrics_have_a_series_for_each_certificate() -> None:
    kinds = {"server": CertificateState("aa", (), 1798761600), "rest": CertificateState("bb", (), None, "expired")}
    with client(Source(replace(REPLICA, certificates=kinds))) as rest:
        lines = rest.get("/metrics").text.splitlines()
    shown = {line.split(" ")[0]: float(line.split(" ")[1]) for line in lines if line.startswith("pgherd_certificate_")}
    assert shown == {
        f'pgherd_certificate_{name}{{cluster="demo",kind="{kind}",member="demo-b-0"}}': value
        for name, kind, value in [
            ("expiry_timestamp_seconds", "server", 1798761600), ("current", "server", 1), ("current", "rest", 0),
        ]
    }  # fmt: skip


def test_metrics_leave_out_what_nobody_knows() -> None:
    with client(Source(replace(REPLICA, position=None), record=None)) as rest:
        text = rest.get("/metrics").text
    assert "pgherd_lag_bytes{" not in text and "pgherd_timeline{" not in text and "pgherd_lease_known{" in text


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"])
def test_other_methods_need_a_certificate(method: str) -> None:
    with client(Source()) as rest:
        for path in ("/config", "/switchover"):
            answer = rest.request(method, path)
            assert answer.status_code == 403 and "certificate" in answer.json()["error"]
    with client(Source(), certified=True) as rest:
        assert rest.request(method, "/patroni").status_code == 405
        assert rest.request(method, "/nowhere").status_code == 404
        assert rest.get("/config").status_code == 200


@pytest.mark.parametrize("subject", [f"CN={name}{rest}" for name in LOGINS for rest in ("", ",O=demo")])
def test_a_certificate_that_logs_in_at_postgresql_gives_no_right_to_them(subject: str) -> None:
    with client(Source(), certified=True, subject=subject) as rest:
        answer = rest.patch("/config", json={"ttl": 20})
        assert answer.status_code == 403 and subject[3:].split(",")[0] in answer.json()["error"]
        assert rest.get("/config").status_code == 200


def test_paths_are_matched_whole() -> None:
    with client(Source()) as rest:
        assert rest.get("/primary-or-not").status_code == 404


QUESTION = Question("demo-b-0", "uid-b", 3, ("n1",), 10.0)


def test_a_promise_is_given_to_the_holder_itself_over_mutual_tls_only() -> None:
    source, body = Source(), msgspec.json.encode(QUESTION)
    with client(source) as rest:
        assert rest.post("/promise", content=body).status_code == 403
    with client(source, certified=True) as rest:  # demo-b-0
        answer = rest.post("/promise", content=body)
        other = rest.post("/promise", content=msgspec.json.encode(replace(QUESTION, member="demo-c-0")))
        assert rest.get("/promise").status_code == 405
    assert answer.status_code == 200
    assert msgspec.json.decode(answer.content, type=Verdict) == Verdict(PRIMARY.member, PRIMARY.uid)
    assert other.status_code == 403 and "only demo-c-0 itself" in other.json()["error"]
    assert source.asked == [QUESTION]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", 400),
        (b"[]", 400),
        (b'{"member": "demo-b-0"}', 400),
        (msgspec.json.encode({**msgspec.to_builtins(QUESTION), "ttl": -1}), 400),
        (msgspec.json.encode({**msgspec.to_builtins(QUESTION), "ttl": 1e9}), 400),
        (b" " * 65537, 413),
    ],
)
def test_what_is_no_question_gets_no_promise(body: bytes, code: int) -> None:
    source = Source()
    with client(source, certified=True) as rest:
        answer = rest.post("/promise", content=body)
    assert answer.status_code == code and answer.json()["error"] and source.asked == []


def test_failsafe_is_shown() -> None:
    with client(Source(replace(PRIMARY, failsafe=True))) as rest:
        assert rest.get("/patroni").json()["failsafe_mode_is_active"] is True
        assert 'pgherd_failsafe{cluster="demo",member="demo-a-0"} 1.0' in rest.get("/metrics").text
