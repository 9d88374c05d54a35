"""What stands in the way is said before anything is changed."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgherd.postgres.plugins.module_utils.client import ApiError
from ansible_collections.pgherd.postgres.plugins.module_utils.names import KINDS
from ansible_collections.pgherd.postgres.plugins.module_utils.preflight import problems, rights
from ansible_collections.pgherd.postgres.plugins.module_utils.readiness import situation

from .memory import Memory
from .rendering import cluster, rendered

REVIEWS = "/apis/authorization.k8s.io/v1"
ALL = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}


def api(rules: list[dict[str, Any]], namespace: Any = None, allowed: bool = False) -> Memory:
    memory = Memory()
    memory.answers[f"{REVIEWS}/selfsubjectrulesreviews"] = {"status": {"resourceRules": rules}}
    memory.answers[f"{REVIEWS}/selfsubjectaccessreviews"] = {"status": {"allowed": allowed}}
    memory.answers["/api/v1/namespaces/databases"] = namespace or {}
    return memory


def test_nothing_in_the_way() -> None:
    assert problems(api([ALL]), "databases", {}) == []


def test_a_missing_namespace_is_named() -> None:
    missing = ApiError("GET", "/api/v1/namespaces/databases", 404, "not found")
    (said,) = problems(api([ALL], missing), "databases", {})
    assert said.startswith("namespace databases does not exist") and "postgres_namespace" in said


def test_a_missing_right_is_named() -> None:
    rules = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "resourceNames": ["only-this"]}]
    (said,) = problems(api(rules), "databases", {})
    assert "get, list, create, patch, delete, watch statefulsets.apps" in said and "watch" in said


def test_an_authoriser_that_cannot_list_its_rules_is_asked_one_by_one() -> None:
    assert problems(api([], allowed=True), "databases", {}) == []


@pytest.mark.parametrize("may_look_everywhere", [True, False])
def test_a_taken_node_port_is_named_with_its_owner(may_look_everywhere: bool) -> None:
    def service(namespace: str, name: str) -> dict[str, Any]:
        return {"metadata": {"namespace": namespace, "name": name}, "spec": {"ports": [{"port": 1, "nodePort": 30432}]}}

    memory = api([ALL])
    found = {"items": [service("databases", "other")]}
    memory.answers["/api/v1/services"] = found if may_look_everywhere else ApiError("GET", "", 403, "forbidden")
    memory.answers["/api/v1/namespaces/databases/services"] = found
    (said,) = problems(memory, "databases", {30432: "demo-ha"})
    assert said == (
        "postgres_service_node_port=30432 of Service demo-ha is in use by Service other in namespace databases; "
        "choose another or none."
    )
    memory.answers["/api/v1/services"] = {"items": [service("databases", "demo-ha")]}
    assert not may_look_everywhere or problems(memory, "databases", {30432: "demo-ha"}) == []


@pytest.mark.parametrize("elsewhere", [True, False])
def test_without_the_right_to_look_everywhere_a_dry_run_finds_a_taken_node_port(elsewhere: bool) -> None:
    memory = api([ALL])
    memory.answers["/api/v1/services"] = ApiError("GET", "", 403, "forbidden")
    asked = list[Any]()

    def services(body: Any) -> dict[str, Any]:
        if body is None:
            return {"items": []}
        asked.append(body["spec"]["ports"][0]["nodePort"])
        if elsewhere:
            raise ApiError("POST", "", 422, "Service is invalid: provided port is already allocated")
        return {}

    memory.answers["/api/v1/namespaces/databases/services"] = services
    found = problems(memory, "databases", {30432: "demo-ha"})
    assert asked == [30432]
    assert found == (
        ["postgres_service_node_port=30432 of Service demo-ha cannot be had: Service is invalid: "
         "provided port is already allocated; choose another or none."] if elsewhere else []
    )  # fmt: skip


def test_every_right_that_pods_get_is_one_that_the_play_asks_for() -> None:
    applied, _ = rendered(cluster())
    (role,) = [each for each in applied if each["kind"] == "Role"]
    granted = {KINDS[kind][1]: set(verbs) for kind, verbs in rights("Endpoints").items()}
    for rule in role["rules"]:
        for resource in rule["resources"]:
            assert set(rule["verbs"]) <= granted[resource], resource


def pod(name: str, ready: bool, role: str, **status: Any) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": str(ready)}]
    return {
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"c": "demo", "p/instance": name[:-2], "p/role": role}},
        "spec": {"nodeName": "node1"},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "conditions": conditions, **status},
    }


def seen(*pods: dict[str, Any], leader: str | None = "a-0") -> tuple[str, ...]:
    memory = Memory()
    for each in pods:
        memory.objects[f"/api/v1/namespaces/databases/pods/{each['metadata']['name']}"] = each
    annotations = {"leader": leader} if leader else {}
    memory.objects["/api/v1/namespaces/databases/endpoints/demo-ha"] = {"metadata": {"annotations": annotations}}
    return situation(memory, "databases", ("Endpoints", "demo-ha"), ["a-0", "b-0"], {"c": "demo"}, "p/").missing


def test_ready_is_every_pod_a_leader_and_the_labels() -> None:
    assert seen(pod("a-0", True, "primary"), pod("b-0", True, "replica")) == ()


def test_what_is_missing_is_said_with_kubernetes_own_reason() -> None:
    waiting = {
        "containerStatuses": [{"ready": False, "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no"}}}]
    }
    assert seen(pod("a-0", False, "", **waiting), leader=None) == (
        "no leader in Endpoints demo-ha",
        "a-0 is not ready (ImagePullBackOff: no)",
        "b-0 is not ready (no pod)",
    )


@pytest.mark.parametrize(
    ("spec", "status", "said"),
    [
        ({"replicas": 2}, {"observedGeneration": 3, "updatedReplicas": 2, "availableReplicas": 2}, ()),
        ({"replicas": 2}, {"observedGeneration": 3, "updatedReplicas": 1, "availableReplicas": 2}, ("has 1 of 2",)),
        ({"replicas": 2}, {"observedGeneration": 2, "updatedReplicas": 2, "availableReplicas": 2}, ("has 0 of 2",)),
        ({"replicas": 0}, {"observedGeneration": 3}, ()),
        ({}, None, ("has 0 of 1",)),
        (None, None, ("is not there",)),
    ],
)
def test_a_pooler_is_ready_when_its_newest_pods_are(spec: Any, status: Any, said: tuple[str, ...]) -> None:
    memory = Memory()
    for each in (pod("a-0", True, "primary"), pod("b-0", True, "replica")):
        memory.objects[f"/api/v1/namespaces/databases/pods/{each['metadata']['name']}"] = each
    memory.objects["/api/v1/namespaces/databases/endpoints/demo-ha"] = {"metadata": {"annotations": {"leader": "a-0"}}}
    if spec is not None:
        memory.objects["/apis/apps/v1/namespaces/databases/deployments/demo-pgbouncer"] = {
            "metadata": {"generation": 3}, "spec": spec, "status": status,
        }  # fmt: skip
    look = (memory, "databases", ("Endpoints", "demo-ha"), ["a-0", "b-0"], {"c": "demo"}, "p/", ["demo-pgbouncer"])
    found = situation(*look).missing
    assert len(found) == len(said)
    assert all(f"pooler demo-pgbouncer {part}" in text for text, part in zip(found, said, strict=True))


def test_a_wrong_role_label_is_said() -> None:
    assert seen(pod("a-0", True, "replica"), pod("b-0", True, "")) == (
        "a-0 bears role replica instead of primary",
        "b-0 bears role none instead of replica",
    )


def test_the_rights_of_the_locks_kind_are_asked_for_and_no_others() -> None:
    rest = [{"verbs": ["*"], "apiGroups": ["*"], "resources": [plural]}
            for kind, (_, plural) in KINDS.items() if kind != "Endpoints"]  # fmt: skip
    (said,) = problems(api(rest), "databases", {})
    assert "delete, watch endpoints" in said
    assert problems(api(rest), "databases", {}, "EndpointSlice") == []
