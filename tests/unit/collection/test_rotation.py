"""Secrets and members together: an API in memory whose pods follow as kubelet and agent would, or do not."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.pgherd.postgres.plugins.action.pki import merged
from ansible_collections.pgherd.postgres.plugins.module_utils import rotation, waiting, x509
from ansible_collections.pgherd.postgres.plugins.module_utils.apply import Refused, Scope
from ansible_collections.pgherd.postgres.plugins.module_utils.client import ApiError
from ansible_collections.pgherd.postgres.plugins.module_utils.issuing import Authority, Policy
from ansible_collections.pgherd.postgres.plugins.module_utils.published import shown
from ansible_collections.pgherd.postgres.plugins.module_utils.rotation import Result, Wanted, rotate

from .memory import Memory
from .rendering import cluster

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DECLARED = cluster()
PODS = [each["pod"] for each in DECLARED["members"]]
SECRETS = "/api/v1/namespaces/databases/secrets"
POOLER = "demo-pgbouncer-7d9c-x"
PLACE = "/api/v1/namespaces/databases/pods"


class Members(Memory):
    """Pods that publish what is mounted once their kubelet was told to look; `stuck` ones never do."""

    def __init__(self, declared: dict[str, Any] = DECLARED) -> None:
        super().__init__()
        self.declared = declared
        self.stuck: set[str] = set()
        self.fail_at: int | None = None
        """The write, counted from now on, that the API refuses."""

    def start(self) -> None:
        for pod in [*PODS, *((POOLER,) if self.declared["pooler"] else ())]:
            instance = {"pgherd.dev/instance": pod.removesuffix("-0")}
            labels = {**DECLARED["selector"], **({"pgherd.dev/role": "pgbouncer"} if pod == POOLER else instance)}
            self.objects[f"{PLACE}/{pod}"] = {
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {
                    "name": pod, "namespace": "databases", "labels": labels, "annotations": {}, "resourceVersion": "1",
                },
                "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
            }  # fmt: skip
            self._publish(pod)

    def request(
        self, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None, content: str = ""
    ) -> dict[str, Any]:
        if method == "PATCH" and self.fail_at is not None:
            self.fail_at -= 1
            if self.fail_at < 0:
                raise ApiError(method, path, 503, "etcd is busy")
        found = super().request(method, path, body, query, content)
        if method == "PATCH" and path.startswith(PLACE) and path.rsplit("/", 1)[1] not in self.stuck:
            self._publish(path.rsplit("/", 1)[1])
        return found

    def _publish(self, pod: str) -> None:
        said = {}
        if pod == POOLER:
            return
        for each in self.declared["certificates"]:
            if each["member"] in ("", pod):
                data = {k: base64.b64decode(v) for k, v in self.secret(each["secret"]).items()}
                roots = x509.valid_certificates(data["ca.crt"], NOW)
                said[each["kind"]] = {
                    "serves": x509.fingerprint(data["tls.crt"]),
                    "trusts": [x509.fingerprint(root) for root in roots],
                    "expires": 1798761600, "refused": "",
                }  # fmt: skip
        self.objects[f"{PLACE}/{pod}"]["metadata"]["annotations"]["pgherd.dev/certificates"] = json.dumps(said)

    def secret(self, name: str) -> dict[str, str]:
        found: dict[str, str] = self.objects[f"{SECRETS}/{name}"]["data"]
        return found

    def roots(self) -> set[tuple[str, ...]]:
        """The different bundles that there are."""
        bundles = (base64.b64decode(self.secret(each["secret"])["ca.crt"]) for each in self.declared["certificates"])
        return {tuple(x509.fingerprint(root) for root in x509.valid_certificates(each, NOW)) for each in bundles}


def run(
    api: Members, renew: tuple[str, ...] = (), check: bool = False, clock: Callable[[], datetime] = lambda: NOW,
    seconds: float = 0.2, **changes: Any,
) -> Result:  # fmt: skip
    policy = Policy(renew=frozenset(renew), overlap=timedelta(days=changes.pop("overlap", 0)))
    options = {
        "scope": Scope("databases", DECLARED["selector"]), "labels": DECLARED["labels"], "prefix": "pgherd.dev/",
        "authority": Authority("demo-ca", "demo"), "authority_secret": "", "leaves": api.declared["certificates"],
        "custom": [], "policy": policy,
    } | changes  # fmt: skip
    return rotate(api, Wanted(**options), clock, seconds, check)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Members:
    monkeypatch.setattr(waiting, "LONGEST_SLEEP", 0.01)
    monkeypatch.setattr(waiting, "SHORTEST_SLEEP", 0.0)
    made = Members()
    assert not run(made).waiting
    made.start()
    return made


def moved(result: Result) -> set[str]:
    return {each.name for each in result.outcomes if each.moved}


def test_nothing_to_do_moves_and_touches_nothing(api: Members) -> None:
    writes = len(api.writes)
    result = run(api)
    assert not moved(result) and not result.waiting and len(api.writes) == writes


def test_a_request_renews_and_the_members_follow(api: Members) -> None:
    result = run(api, ("server",))
    assert moved(result) == {"demo-cluster-cert"} and not result.waiting
    assert [each.reason for each in result.issued if each.kind == "server"] == ["it was asked for"]


def test_an_authority_is_replaced_in_one_run_when_all_follow(api: Members) -> None:
    (old,) = api.roots()
    result = run(api, ("authority",))
    (new,) = api.roots()
    assert new != old and len(new) == 1 and not result.waiting and not result.replacing
    assert moved(result) == {"demo-ca", *(each["secret"] for each in DECLARED["certificates"])}
    names = [each.name for each in result.outcomes]
    assert len(names) == len(set(names)), "one outcome for each Secret"
    assert not moved(run(api))


def test_one_that_does_not_follow_is_named_and_holds_the_replacement(api: Members) -> None:
    (old,) = api.roots()
    api.stuck = {PODS[1]}
    result = run(api, ("authority",))
    assert result.replacing and [each.split()[0] for each in result.waiting] == [PODS[1]] * 3
    (both,) = api.roots()
    assert len(both) == 2 and both[1:] == old
    again = run(api, ("authority",))
    assert again.waiting == result.waiting and api.roots() == {both} and not moved(again)
    api.stuck = set()
    last = run(api)
    assert not last.replacing and api.roots() == {both[:1]}


def test_clients_are_given_their_time(api: Members) -> None:
    result = run(api, ("authority",), overlap=7)
    assert result.replacing and not result.waiting and "2026-01-08" in result.later
    (both,) = api.roots()
    assert len(both) == 2


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that were slept away; nothing else takes time."""
    slept = list[float]()
    monkeypatch.setattr(rotation, "time", SimpleNamespace(monotonic=lambda: sum(slept), sleep=slept.append))
    return slept


@pytest.mark.parametrize("seconds", [300.0, 40.0])
def test_poolers_are_touched_and_have_their_time_before_the_old_authority_goes(
    api: Members, passed: list[float], seconds: float
) -> None:
    pooled, clock = Members(cluster(pooler={"replicas": 1})), lambda: NOW + timedelta(seconds=sum(passed))
    run(pooled)
    pooled.start()
    result = run(pooled, ("authority",), clock=clock, seconds=seconds)
    assert "pgherd.dev/certificates-wanted" in pooled.objects[f"{PLACE}/{POOLER}"]["metadata"]["annotations"]
    for _again in range(3 if seconds == 40 else 0):
        assert result.waiting == ("poolers have until 00:02:30 UTC to use their new certificate",)
        ((_, _),) = pooled.roots()
        assert result.replacing
        result = run(pooled, clock=clock, seconds=seconds)
    ((_,),) = pooled.roots()
    assert not result.waiting and not result.replacing and sum(passed) == 150


def test_check_mode_waits_for_no_pooler(api: Members, passed: list[float]) -> None:
    pooled, clock = Members(cluster(pooler={"replicas": 1})), lambda: NOW + timedelta(seconds=sum(passed))
    run(pooled)
    pooled.start()
    run(pooled, ("authority",), clock=clock, seconds=1.0)
    before = list(passed)
    found = run(pooled, check=True, clock=clock, seconds=300.0)
    assert found.replacing and not found.waiting and passed == before


@pytest.mark.parametrize("write", range(0, 40, 3))
def test_a_run_that_the_api_ends_anywhere_is_finished_by_the_next(api: Members, write: int) -> None:
    (old,) = api.roots()
    api.fail_at = write
    try:
        run(api, ("authority",))
    except (Refused, ApiError) as error:
        assert "etcd is busy" in str(error)
    api.fail_at = None
    result = run(api, ("authority",))
    (new,) = api.roots()
    assert len(new) == 1 and new != old and not result.replacing and not result.waiting


def test_check_mode_writes_nothing(api: Members) -> None:
    before, writes = json.dumps(api.objects, sort_keys=True), len(api.writes)
    result = run(api, ("authority",), check=True)
    assert "demo-ca" in moved(result) and not result.waiting
    assert json.dumps(api.objects, sort_keys=True) == before and len(api.writes) == writes


def put(api: Members, name: str, **data: bytes) -> None:
    encoded = {key.replace("_", "."): base64.b64encode(value).decode() for key, value in data.items()}
    metadata = {"name": name, "namespace": "databases"}
    api.objects[f"{SECRETS}/{name}"] = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": encoded}


def test_the_namespaces_authority_takes_over_step_by_step_and_is_not_written(api: Members) -> None:
    pair = x509.new_authority("postgres-operator-ca", NOW, timedelta(days=3650))
    put(api, "pgo-root-cacert", root_crt=pair.certificate, root_key=pair.key)
    before = json.dumps(api.objects[f"{SECRETS}/pgo-root-cacert"])
    result = run(api, authority_secret="pgo-root-cacert")
    assert api.roots() == {(x509.fingerprint(pair.certificate),)} and not result.replacing
    assert json.dumps(api.objects[f"{SECRETS}/pgo-root-cacert"]) == before
    assert {each.secret: each.kind for each in result.issued}["pgo-root-cacert"] == "authority"


def test_what_was_brought_along_and_cannot_work_stops_everything(api: Members) -> None:
    put(api, "ours", tls_crt=b"x")
    given = cluster(custom_tls_secret={"name": "ours"}, custom_replication_tls_secret={"name": "gone"})
    writes = len(api.writes)
    with pytest.raises(Refused) as caught:
        run(api, custom=given["custom_certificates"], authority_secret="nowhere")
    text = str(caught.value)
    assert "Secret ours has no tls.key and no ca.crt" in text and "Secret gone does not exist" in text
    assert "postgres_authority_secret: Secret nowhere: it is missing" in text and "Nothing was changed" in text
    assert len(api.writes) == writes


def test_slices_are_one_result() -> None:
    first = {
        "changed": True, "changes": ["changed Secret a"], "failed": True, "waiting": ["b"],
        "objects": [{"name": "a", "action": "changed"}, {"name": "b", "action": "unchanged"}],
        "certificates": [{"secret": "a", "reason": "it was asked for"}],
    }  # fmt: skip
    last = {
        "changed": False, "changes": [], "waiting": [],
        "objects": [{"name": "a", "action": "unchanged"}, {"name": "b", "action": "unchanged"}],
        "certificates": [{"secret": "a", "reason": ""}],
    }  # fmt: skip
    found = merged([first], last)
    assert found["changed"] and found["changes"] == ["changed Secret a"] and "failed" not in found
    assert [each["action"] for each in found["objects"]] == ["changed", "unchanged"]
    assert found["certificates"][0]["reason"] == "it was asked for"


def test_what_people_are_shown_of_certificates() -> None:
    said = {"server": {"expires": 1798761600}, "rest": {"expires": None, "refused": "it has expired"}}
    assert shown(said, 1798761600 - 3.5 * 86400) == [
        {"kind": "rest", "expires": "", "days_left": None, "problem": "it has expired"},
        {"kind": "server", "expires": "2027-01-01T00:00:00+00:00", "days_left": 3, "problem": ""},
    ]
