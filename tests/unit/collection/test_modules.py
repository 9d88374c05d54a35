"""The modules as Ansible calls them: options in, one result out, and nothing written before every refusal."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import pytest
from ansible_collections.pgherd.postgres.plugins.module_utils.client import ApiError, Unreachable
from ansible_collections.pgherd.postgres.plugins.modules import cluster_info, pki, resources

from .agents import call as called
from .memory import Memory
from .rendering import cluster, rendered

REVIEWS = "/apis/authorization.k8s.io/v1"
NAMESPACE = "/api/v1/namespaces/databases"
DECLARED = cluster()
COMMON = {"namespace": "databases", "selector": DECLARED["selector"]}


def kubernetes() -> Memory:
    """An API that has the namespace and lets this account do everything."""
    api = Memory()
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
    api.answers[f"{REVIEWS}/selfsubjectrulesreviews"] = {"status": {"resourceRules": [everything]}}
    api.answers[NAMESPACE] = {}
    return api


def call(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, api: Any, check: bool = False, **options: Any
) -> dict[str, Any]:
    return called(monkeypatch, module, api, check, **{**COMMON, **options})


def certificates(monkeypatch: pytest.MonkeyPatch, api: Any, **options: Any) -> dict[str, Any]:
    given = {
        "authority": "demo-ca",
        "common_name": "demo pgherd authority",
        "certificates": DECLARED["certificates"],
        "labels": DECLARED["labels"],
    }
    return call(monkeypatch, pki, api, **given, **options)


def objects(monkeypatch: pytest.MonkeyPatch, api: Any, **options: Any) -> dict[str, Any]:
    applied, once = rendered(DECLARED)
    given = {
        "owned": DECLARED["owned"],
        "objects": applied,
        "create_once": once,
        "users": DECLARED["users"],
        "configuration": "demo-ha-config",
        "lock": "demo-ha",
        "members": [each["pod"] for each in DECLARED["members"]],
        "keep": ["demo-ca", *(each["secret"] for each in DECLARED["certificates"])],
    }
    return call(monkeypatch, resources, api, **{**given, **options})


def test_check_mode_says_what_both_modules_then_make_and_makes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    api = kubernetes()
    planned = [certificates(monkeypatch, api, check=True), objects(monkeypatch, api, check=True)]
    assert api.objects == {} and api.writes == []
    assert {each["expires"] for each in planned[0]["certificates"]} == {"(known after apply)"}
    assert "(known after apply)" in json.dumps(planned[1]["diff"])
    made = [certificates(monkeypatch, api), objects(monkeypatch, api)]
    assert [each["changes"] for each in planned] == [each["changes"] for each in made]
    names = {f"created {each['kind']} {each['metadata']['name']}" for each in api.objects.values()}
    assert names == {line for each in made for line in each["changes"]}


def test_a_second_call_changes_nothing_and_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    api = kubernetes()
    first = [certificates(monkeypatch, api), objects(monkeypatch, api)]
    assert [each["changed"] for each in first] == [True, True]
    before = api.versions()
    for result in (certificates(monkeypatch, api), objects(monkeypatch, api)):
        assert (result["changed"], result["changes"], result["diff"], result["failed"]) == (False, [], [], False)
    assert api.versions() == before


def test_no_key_is_in_any_result(monkeypatch: pytest.MonkeyPatch) -> None:
    api = kubernetes()
    printed = json.dumps([certificates(monkeypatch, api), objects(monkeypatch, api)])
    secrets = [each for each in api.objects.values() if each["kind"] == "Secret"]
    values = [
        value for each in secrets for name, value in each["data"].items() if name in ("tls.key", "password", "uri")
    ]
    assert len(values) == 8 and not [value for value in values if value in printed]


@pytest.mark.parametrize(
    ("path", "answer", "said"),
    [
        (NAMESPACE, ApiError("GET", "", 404, "not found"), "namespace databases does not exist"),
        (f"{REVIEWS}/selfsubjectrulesreviews", {"status": {"resourceRules": []}}, "lacks the right to get, list"),
        ("/api/v1/services", {"items": [{"metadata": {"namespace": "a", "name": "b"},
                                         "spec": {"ports": [{"nodePort": 30432}]}}]}, "30432"),
    ],
)  # fmt: skip
def test_what_stands_in_the_way_is_said_before_a_key_is_made(
    monkeypatch: pytest.MonkeyPatch, path: str, answer: Any, said: str
) -> None:
    api = kubernetes()
    api.answers[path] = answer
    api.answers[f"{REVIEWS}/selfsubjectaccessreviews"] = {"status": {"allowed": False}}
    result = certificates(monkeypatch, api, node_ports={"30432": "demo-ha"})
    assert result["failed"] and said in result["msg"] and result["msg"].endswith("Nothing was changed.")
    assert api.objects == {}


class Breaking(Memory):
    """An API that goes away at the first `method` whose path ends in `at`."""

    method, at = "POST", "selfsubjectrulesreviews"

    def request(self, method: str, path: str, *arguments: Any, **options: Any) -> dict[str, Any]:
        if method == self.method and path.endswith(self.at):
            raise Unreachable("the Kubernetes API at https://k cannot be reached: refused")
        return super().request(method, path, *arguments, **options)


def test_nothing_was_changed_is_said_only_when_it_is_true(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Breaking()
    result = certificates(monkeypatch, api)
    assert result["failed"] and "cannot be reached" in result["msg"] and "Nothing was changed" in result["msg"]
    api.answers = kubernetes().answers
    api.method, api.at = "PATCH", "demo-replication-cert"
    result = certificates(monkeypatch, api)
    assert result["failed"] and "cannot be reached" in result["msg"] and "Nothing was changed" not in result["msg"]
    assert api.objects


def test_what_the_cluster_lacks_is_in_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    result = objects(monkeypatch, kubernetes())
    assert result["missing"][0] == "no leader in Endpoints demo-ha" and len(result["missing"]) == 4


def test_a_cluster_that_is_not_ready_fails_a_wait_with_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"cluster": "demo", "members": ["demo-instance1-23r5-0"], "wait": True, "wait_timeout": 0}
    result = call(monkeypatch, cluster_info, kubernetes(), **options)
    assert result["failed"] and result["msg"] == (
        "demo is not ready: no leader in Endpoints demo-ha; demo-instance1-23r5-0 is not ready (no pod)"
    )
    assert not call(monkeypatch, cluster_info, kubernetes(), **{**options, "wait": False})["failed"]


def test_an_unknown_option_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    result = call(monkeypatch, cluster_info, kubernetes(), cluster="demo", clusters="x")
    assert result["failed"] and "clusters" in result["msg"]
