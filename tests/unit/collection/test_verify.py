"""What a run could not do is found before it writes anything, certificates included."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from ansible_collections.pgherd.postgres.plugins.module_utils.apply import Refused
from ansible_collections.pgherd.postgres.plugins.module_utils.client import ApiError
from ansible_collections.pgherd.postgres.plugins.module_utils.converge import converge, verify

from .memory import Memory
from .rendering import ROLE
from .test_converge import BASE, CONFIG, HA, made, moved, operator_sets, wanted
from .test_modules import Breaking, kubernetes, objects

CLAIM = f"{BASE}/persistentvolumeclaims/demo-instance1-23r5-pgdata"


def one_set(**fields: Any) -> list[dict[str, Any]]:
    return [{"name": "instance1", "replicas": 3, "storage": "1Gi", **fields}]


def test_what_can_be_done_is_found_so_without_a_write() -> None:
    for api in (Memory(), made()):
        before = list(api.writes)
        verify(api, wanted(ttl=20, instances=one_set(replicas=2)))
        assert api.writes == before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": 16}, "postgres_version=16: "),
        ({"label_prefix": "example.org/"}, "postgres_label_prefix=example.org/: "),
        ({"lock": "endpointslice"}, "postgres_lock: "),
        ({"instances": one_set(storage="512Mi")}, "cannot shrink to 512Mi"),
        ({"ttl": 20}, "the dynamic configuration was changed both"),
        ({"patches": [{"kind": "Service", "name": "demo-ha", "merge": {"spec": {"type": "X"}}}]}, "unsupported value"),
    ],
)
def test_what_cannot_be_done_is_refused_without_a_write(changes: dict[str, Any], said: str) -> None:
    api = made()
    operator_sets(api, ttl=30)
    if "patches" in changes:
        api.answers[HA] = ApiError("PATCH", HA, 422, "spec.type: unsupported value")
    before = list(api.writes)
    with pytest.raises(Refused) as refused:
        verify(api, wanted(**changes))
    assert said in str(refused.value) and api.writes == before


def test_a_foreign_object_is_found_without_a_write() -> None:
    api = Memory()
    api.objects[HA] = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "demo-ha", "namespace": "databases"}}
    with pytest.raises(Refused, match="already there without the label"):
        verify(api, wanted())
    assert api.writes == []


def test_a_conflict_is_found_before_what_is_made_once_is_made() -> None:
    api = made()
    operator_sets(api, ttl=30)
    del api.objects[f"{BASE}/configmaps/demo-status"]
    before = api.versions()
    with pytest.raises(Refused, match="the inventory says 20"):
        converge(api, wanted(ttl=20), check=False)
    assert api.versions() == before
    assert json.loads(api.objects[CONFIG]["metadata"]["annotations"]["config"])["ttl"] == 30


def test_what_people_write_in_words_of_kubernetes_is_tried_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    api, tried = made(), list[str]()
    request = api.request

    def seen(method: str, path: str, *arguments: Any, **options: Any) -> dict[str, Any]:
        tried.extend([path] if method != "GET" else [])
        return request(method, path, *arguments, **options)

    monkeypatch.setattr(api, "request", seen)
    verify(api, wanted())
    kinds = [each.split("/")[-2] for each in tried]
    assert set(kinds) == {"networkpolicies", "services", "statefulsets"}
    assert kinds.count("statefulsets") == 1, "members of one set are alike"
    tried.clear()
    verify(api, wanted(service_type="NodePort", service_node_port=30432))
    assert HA not in tried, "pki says who has a node port that is taken"
    tried.clear()
    claims = {"kind": "PersistentVolumeClaim", "merge": {"metadata": {"labels": {"a": "b"}}}}
    sets = {"kind": "StatefulSet", "merge": {"metadata": {"labels": {"a": "b"}}}}
    verify(api, wanted(patches=[claims, sets], instances=one_set()))
    kinds = [each.split("/")[-2] for each in tried]
    assert kinds.count("statefulsets") == kinds.count("persistentvolumeclaims") == 3


def test_what_is_not_there_yet_is_tried_as_the_run_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """By server-side apply, which refuses a field that nobody knows; a POST only warns of it."""
    api = Memory()
    place = "/apis/apps/v1/namespaces/databases/statefulsets/demo-instance1-23r5"
    request = api.request

    def strict(method: str, path: str, *arguments: Any, **options: Any) -> dict[str, Any]:
        if (method, path) == ("PATCH", place):
            raise ApiError(method, path, 500, ".spec.template.spec.afinity: field not declared in schema")
        return request(method, path, *arguments, **options)

    monkeypatch.setattr(api, "request", strict)
    for call in (lambda: verify(api, wanted()), lambda: converge(api, wanted(), check=True)):
        with pytest.raises(Refused, match="field not declared in schema"):
            call()
    assert api.writes == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"storage_class": "slow"}, "is of StorageClass fast and cannot become one of slow; fast is allowed"),
        ({"access_modes": ["ReadWriteMany"]}, "has ReadWriteOnce and cannot get ReadWriteMany"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_class_and_access_modes_of_a_volume_that_is_there_are_kept(
    fields: dict[str, Any], said: str, check: bool
) -> None:
    api = Memory()
    converge(api, wanted(instances=one_set(storage_class="fast")), check=False)
    before = api.versions()
    with pytest.raises(Refused, match=f"postgres_instances.*volume demo-instance1-23r5-pgdata {said}"):
        converge(api, wanted(instances=one_set(**{"storage_class": "fast", **fields})), check)
    assert api.versions() == before


def test_a_class_that_kubernetes_chose_is_nobodys_and_one_that_was_said_is_kept() -> None:
    api = made()
    api.objects[CLAIM]["spec"]["storageClassName"] = "standard"
    assert moved(converge(api, wanted(), check=False)) == {}
    entry = {"manager": "pgherd-play", "operation": "Apply", "fieldsV1": {"f:spec": {"f:storageClassName": {}}}}
    api.objects[CLAIM]["metadata"]["managedFields"] = [entry]
    with pytest.raises(Refused, match="is of StorageClass standard and cannot become one of no named class"):
        converge(api, wanted(), check=False)


# The module, and the role


def test_the_module_says_that_nothing_was_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    api = kubernetes()
    assert objects(monkeypatch, api, verify=True)["changed"] is False and api.objects == {}
    api.objects[HA] = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "demo-ha", "namespace": "databases"}}
    found = objects(monkeypatch, api, verify=True)
    assert found["failed"] and found["msg"].endswith("to hand them over. Nothing was changed.")
    gone = Breaking()
    gone.method, gone.at = "GET", "services"
    assert objects(monkeypatch, gone, verify=True)["msg"].endswith("refused. Nothing was changed.")


def test_who_may_not_look_is_told_of_all_rights_by_the_next_step() -> None:
    api = Memory()
    api.answers[f"{BASE}/services"] = ApiError("GET", f"{BASE}/services", 403, "forbidden")
    verify(api, wanted())
    api.answers[f"{BASE}/services"] = ApiError("GET", f"{BASE}/services", 500, "broken")
    with pytest.raises(ApiError):
        verify(api, wanted())


def test_the_role_looks_before_it_makes_certificates() -> None:
    (block,) = yaml.safe_load((ROLE / "tasks" / "converge.yml").read_text())
    steps = block["block"]
    looks = [index for index, each in enumerate(steps) if each.get("vars", {}).get("cluster_verify")]
    writes = [index for index, each in enumerate(steps) if "ansible.builtin.import_role" in each]
    assert looks and looks[0] < writes[0]
    assert steps[looks[0]]["when"] == ["not cluster_budgeted", "not ansible_check_mode"]
