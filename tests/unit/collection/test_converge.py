"""One call brings a cluster to what is declared: nothing moves twice, drift is named and restored, ours is pruned."""

from __future__ import annotations

import copy
import dataclasses
import json
from typing import Any

import pytest
from ansible_collections.pgherd.postgres.plugins.module_utils import converge as converging
from ansible_collections.pgherd.postgres.plugins.module_utils.apply import Outcome, Refused, _compared
from ansible_collections.pgherd.postgres.plugins.module_utils.client import ApiError
from ansible_collections.pgherd.postgres.plugins.module_utils.converge import Wanted, converge, remove
from ansible_collections.pgherd.postgres.plugins.module_utils.reporting import report

from .memory import Memory
from .rendering import cluster, rendered

BASE = "/api/v1/namespaces/databases"
HA = f"{BASE}/services/demo-ha"
CONFIG = f"{BASE}/endpoints/demo-ha-config"


def wanted(**changes: Any) -> Wanted:
    declared = cluster(**{name: value for name, value in changes.items() if name != "purge"})
    applied, once = rendered(declared)
    return Wanted(
        "databases",
        declared["selector"],
        declared["owned"],
        applied,
        once,
        declared["patches"],
        declared["users"],
        "demo-ha-config",
        declared["conflict"],
        [],
        "demo-ha",
        declared["lock_kind"],
        changes.get("purge", False),
    )


def moved(outcomes: list[Outcome]) -> dict[str, str]:
    return {f"{each.kind}/{each.name}": each.action for each in outcomes if each.moved}


def made() -> Memory:
    api = Memory()
    converge(api, wanted(), check=False)
    return api


def test_check_names_exactly_what_the_run_then_makes() -> None:
    api = Memory()
    foreseen = moved(converge(api, wanted(), check=True))
    assert api.objects == {} and api.writes == []
    assert moved(converge(api, wanted(), check=False)) == foreseen
    assert len(api.objects) == len(foreseen) == 25


def test_a_second_run_moves_nothing() -> None:
    api = made()
    before = api.versions()
    assert moved(converge(api, wanted(), check=False)) == {}
    assert api.versions() == before


def test_the_address_of_one_service_reaches_the_endpoints_of_another() -> None:
    subsets = made().objects[f"{BASE}/endpoints/demo-primary"]["subsets"]
    assert subsets[0]["addresses"] == [{"ip": "10.96.0.10"}]


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        (("spec", "ports", 0, "targetPort"), 1, "spec.ports[0].targetPort"),
        (("spec", "ports", 0, "port"), 5433, "spec.ports[0].port"),
        (("spec", "type"), "NodePort", "spec.type"),
        (("spec", "selector"), {"app": "mine"}, "spec.selector"),
        (("metadata", "labels", "pgherd.dev/applied-by"), "me", 'metadata.labels["pgherd.dev/applied-by"]'),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_one_field_edited_by_hand_is_named_and_restored(field: Any, value: Any, named: str, check: bool) -> None:
    api = made()
    before = copy.deepcopy(api.objects[HA])
    target: Any = api.objects[HA]
    for name in field[:-1]:
        target = target[name]
    target[field[-1]] = value
    (changed,) = [each for each in converge(api, wanted(), check) if each.moved]
    assert (changed.kind, changed.name, changed.action, changed.fields) == ("Service", "demo-ha", "changed", (named,))
    assert (api.objects[HA]["spec"] == before["spec"]) != (check and field[0] == "spec")


def test_our_object_without_its_label_is_still_ours() -> None:
    api = made()
    del api.objects[HA]["metadata"]["labels"]["pgherd.dev/cluster"]
    assert moved(converge(api, wanted(), check=False)) == {"Service/demo-ha": "changed"}


def test_somebody_elses_object_is_not_taken_over() -> None:
    api = Memory()
    api.objects[HA] = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "demo-ha", "namespace": "databases"}}
    with pytest.raises(Refused, match=r"already there without the label pgherd.dev/cluster=demo: Service demo-ha"):
        converge(api, wanted(), check=False)
    assert api.writes == []


def test_scale_down_removes_the_last_member_and_keeps_its_volume() -> None:
    api = made()
    two = [{"name": "instance1", "replicas": 2, "storage": "1Gi"}]
    gone = {k: v for k, v in moved(converge(api, wanted(instances=two), check=False)).items() if v == "deleted"}
    assert gone == {"StatefulSet/demo-instance1-6flh": "deleted"}
    assert f"{BASE}/persistentvolumeclaims/demo-instance1-6flh-pgdata" in api.objects


def test_scale_down_purges_the_volume_when_told() -> None:
    api = made()
    two = [{"name": "instance1", "replicas": 2, "storage": "1Gi"}]
    converge(api, wanted(instances=two, purge=True), check=False)
    assert f"{BASE}/persistentvolumeclaims/demo-instance1-6flh-pgdata" not in api.objects


def test_scale_down_never_removes_the_primary() -> None:
    api = made()
    api.objects[f"{BASE}/endpoints/demo-ha"]["metadata"]["annotations"]["leader"] = "demo-instance1-6flh-0"
    before = api.versions()
    with pytest.raises(Refused, match="demo-instance1-6flh-0 is the primary and would be removed"):
        converge(api, wanted(instances=[{"name": "instance1", "replicas": 2, "storage": "1Gi"}]), check=False)
    assert api.versions() == before


def test_what_a_controller_made_with_our_labels_is_not_pruned() -> None:
    api = made()
    labels = {"pgherd.dev/cluster": "demo", "pgherd.dev/applied-by": "play"}
    api.objects[f"{BASE}/endpoints/demo-pods"] = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": "demo-pods", "namespace": "databases", "labels": labels, "uid": "x",
                     "resourceVersion": "1", "managedFields": [{"manager": "kube-controller-manager"}]},
    }  # fmt: skip
    assert moved(converge(api, wanted(), check=False)) == {}


def test_what_the_agents_own_is_not_pruned_whatever_labels_it_got() -> None:
    api = made()
    for name in ("endpoints/demo-ha", "endpoints/demo-ha-config", "configmaps/demo-status"):
        api.objects[f"{BASE}/{name}"]["metadata"]["labels"]["pgherd.dev/applied-by"] = "play"
    assert moved(converge(api, wanted(), check=False)) == {}
    forgotten = dataclasses.replace(wanted(), create_once=[])
    assert moved(converge(api, forgotten, check=False)) == {"ConfigMap/demo-status": "deleted"}


def test_without_a_label_of_its_own_the_play_prunes_nothing() -> None:
    api = made()
    two = [{"name": "instance1", "replicas": 2, "storage": "1Gi"}]
    unowned = dataclasses.replace(wanted(instances=two), owned={}, create_once=[])
    assert "deleted" not in moved(converge(api, unowned, check=False)).values()


def test_an_edit_that_was_put_back_by_hand_moves_the_owner_and_is_said() -> None:
    definition = {"kind": "Service", "metadata": {"name": "demo-ha", "namespace": "databases"}, "spec": {}}

    def live(version: str, **fields: Any) -> dict[str, Any]:
        entry = {"manager": "pgherd-play", "operation": "Apply", "time": version, "fieldsV1": fields}
        return {**definition, "metadata": {"name": "demo-ha", "resourceVersion": version, "managedFields": [entry]}}

    assert not _compared(definition, live("1", a={}), live("1", a={})).moved
    outcome = _compared(definition, live("1"), live("2", a={}))
    assert (outcome.action, outcome.fields) == ("changed", ("metadata.managedFields",))


@pytest.mark.parametrize("text", ["{ttl: 10}", "[]", "ttl=10"])
def test_a_configuration_that_cannot_be_read_is_refused_and_kept(text: str) -> None:
    api = made()
    api.objects[CONFIG]["metadata"]["annotations"]["config"] = text
    with pytest.raises(Refused, match="annotation config of Endpoints demo-ha-config is not a dictionary in JSON"):
        converge(api, wanted(), check=False)
    assert api.objects[CONFIG]["metadata"]["annotations"]["config"] == text


def test_the_lock_is_made_once_and_never_touched_again() -> None:
    api = made()
    lock = api.objects[f"{BASE}/endpoints/demo-ha"]
    lock["metadata"]["annotations"] = {"leader": "demo-instance1-23r5-0", "ttl": "20"}
    lock["subsets"] = [{"addresses": [{"ip": "10.0.0.1"}]}]
    before = copy.deepcopy(lock)
    converge(api, wanted(), check=False)
    assert api.objects[f"{BASE}/endpoints/demo-ha"] == before


def annotation(api: Memory, name: str = "config") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(api.objects[CONFIG]["metadata"]["annotations"][name])
    return found


def operator_sets(api: Memory, **values: Any) -> None:
    annotations = api.objects[CONFIG]["metadata"]["annotations"]
    annotations["config"] = json.dumps({**annotation(api), **values})


def test_what_an_operator_set_stays_and_what_the_inventory_changed_arrives() -> None:
    api = made()
    operator_sets(api, maximum_lag_on_failover=99, nofailover_hint=True)
    outcomes = converge(api, wanted(ttl=20), check=False)
    assert moved(outcomes) == {"Endpoints/demo-ha-config": "changed"}
    merged = annotation(api)
    assert (merged["ttl"], merged["maximum_lag_on_failover"], merged["nofailover_hint"]) == (20, 99, True)
    assert moved(converge(api, wanted(ttl=20), check=False)) == {}


@pytest.mark.parametrize(("policy", "ttl"), [("inventory", 20), ("cluster", 30)])
def test_a_conflict_is_refused_by_default_and_decided_when_told(policy: str, ttl: int) -> None:
    api = made()
    operator_sets(api, ttl=30)
    with pytest.raises(Refused, match="ttl: was 10, the inventory says 20, the cluster has 30"):
        converge(api, wanted(ttl=20), check=True)
    converge(api, wanted(ttl=20, configuration_conflict=policy), check=False)
    assert annotation(api)["ttl"] == ttl
    assert moved(converge(api, wanted(ttl=20, configuration_conflict=policy), check=False)) == {}


def test_the_merged_timing_must_work() -> None:
    api = made()
    operator_sets(api, loop_wait=6)
    with pytest.raises(Refused, match="do not go together: ttl=9"):
        converge(api, wanted(ttl=9), check=False)


def test_a_patch_reaches_the_object_and_one_that_names_nothing_is_refused() -> None:
    api = Memory()
    sidecar = {"spec": {"template": {"spec": {"containers": [{"name": "shipper", "image": "x"}]}}}}
    converge(api, wanted(patches=[{"kind": "StatefulSet", "merge": sidecar}]), check=False)
    path = "/apis/apps/v1/namespaces/databases/statefulsets/demo-instance1-23r5"
    containers = api.objects[path]["spec"]["template"]["spec"]["containers"]
    assert [each["name"] for each in containers] == ["database", "shipper"]
    with pytest.raises(ValueError, match="there is no Service nothing"):
        nothing = {"kind": "Service", "name": "nothing", "merge": {}}
        converge(api, dataclasses.replace(wanted(), patches=[nothing]), check=False)


def test_destroy_keeps_volumes_unless_they_are_purged() -> None:
    api = made()
    foreseen = moved(remove(api, wanted(), check=True))
    assert moved(remove(api, wanted(), check=False)) == foreseen
    assert {path.split("/")[5] for path in api.objects} == {"persistentvolumeclaims"}
    remove(api, wanted(purge=True), check=False)
    assert api.objects == {}


def relabelled(api: Memory, only: str = "") -> None:
    """As if the cluster had been made with another prefix; `only` the objects whose path ends so are left."""
    for place in [place for place in api.objects if not place.endswith(only)]:
        del api.objects[place]
    for each in api.objects.values():
        labels = each["metadata"].get("labels") or {}
        each["metadata"]["labels"] = {key.replace("pgherd.dev/", "x.example/"): value for key, value in labels.items()}


@pytest.mark.parametrize("left", ["", "/demo-config", "/demo-pods", "/endpoints/demo-ha", "/demo-ha-config"])
def test_destroy_with_another_prefix_is_refused_and_not_called_done(left: str) -> None:
    api = made()
    relabelled(api, left)
    before = copy.deepcopy(api.objects)
    assert before
    said = r"postgres_label_prefix='pgherd.dev/': .* labels of 'x.example/'; set it to that. Nothing was deleted"
    for check in (True, False):
        with pytest.raises(Refused, match=said):
            remove(api, wanted(), check)
    assert api.objects == before


@pytest.mark.parametrize(("first", "second"), [("endpoints", "endpointslice"), ("endpointslice", "endpoints")])
def test_destroy_with_another_kind_of_lock_is_refused(first: str, second: str) -> None:
    api = Memory()
    converge(api, wanted(lock=first), check=False)
    with pytest.raises(Refused, match=f"Set postgres_lock to {first}"):
        remove(api, wanted(lock=second), check=False)


def test_destroy_of_what_is_not_there_has_nothing_to_do() -> None:
    assert remove(Memory(), wanted(), check=False) == []


class Controlled(Memory):
    """Each Deployment and StatefulSet has a pod for as long as it is there."""

    def request(self, method: str, path: str, body: Any = None, *rest: Any, **more: Any) -> dict[str, Any]:
        if method == "GET" and path == f"{BASE}/pods":
            makers = [each for each in self.objects.values() if each["kind"] in ("Deployment", "StatefulSet")]
            return {"items": [{"metadata": {"name": f"{each['metadata']['name']}-x"}} for each in makers]}
        return super().request(method, path, body, *rest, **more)


@pytest.mark.parametrize("purge", [False, True])
def test_destroy_ends_poolers_before_it_waits_for_pods(purge: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(converging, "PODS_GONE_SECONDS", 0.0)
    api = Controlled()
    given = wanted(pooler={"replicas": 2, "read_only_replicas": 1}, purge=purge)
    converge(api, given, check=False)
    foreseen = moved(remove(api, given, check=True))
    assert {"Deployment/demo-pgbouncer", "Deployment/demo-pgbouncer-ro"} <= set(foreseen)
    assert moved(remove(api, given, check=False)) == foreseen
    assert {path.split("/")[5] for path in api.objects} == (set() if purge else {"persistentvolumeclaims"})


def test_neither_results_nor_diffs_show_a_secret() -> None:
    api = Memory()
    outcomes = converge(api, wanted(), check=False)
    secret = api.objects[f"{BASE}/secrets/demo-pguser-demo"]["data"]
    text = json.dumps(report(outcomes, "databases", diff=True))
    assert not [name for name in ("password", "verifier", "uri") if secret[name] in text]
    assert "'********'" in text


def test_the_api_servers_reason_names_the_object() -> None:
    api = made()
    api.answers[HA] = ApiError("PATCH", HA, 422, "spec.type: unsupported value")
    with pytest.raises(Refused, match="Service demo-ha in namespace databases: spec.type: unsupported value"):
        converge(api, wanted(), check=False)


# The kind of the lock

SLICES = "/apis/discovery.k8s.io/v1/namespaces/databases/endpointslices"


def test_a_cluster_with_a_slice_for_a_lock_has_no_endpoints_and_moves_nothing_twice() -> None:
    api = Memory()
    converge(api, wanted(lock="endpointslice"), check=False)
    assert not [where for where in api.objects if "/endpoints/" in where]
    assert api.objects[f"{SLICES}/demo-primary"]["endpoints"][0]["addresses"] == ["10.96.0.10"]
    before = api.versions()
    assert moved(converge(api, wanted(lock="endpointslice"), check=False)) == {}
    assert api.versions() == before


@pytest.mark.parametrize(("first", "second"), [("endpoints", "endpointslice"), ("endpointslice", "endpoints")])
@pytest.mark.parametrize("check", [True, False])
def test_the_kind_of_a_living_lock_is_never_changed(first: str, second: str, check: bool) -> None:
    api = Memory()
    converge(api, wanted(lock=first), check=False)
    before = api.versions()
    with pytest.raises(Refused, match=f"Set postgres_lock to {first}, or delete the cluster .* Nothing was changed"):
        converge(api, wanted(lock=second), check)
    assert api.versions() == before


def test_the_dynamic_configuration_of_a_slice_is_merged_in_its_config_map() -> None:
    api = Memory()
    converge(api, wanted(lock="endpointslice"), check=False)
    where = f"{BASE}/configmaps/demo-ha-config"
    assert moved(converge(api, wanted(lock="endpointslice", ttl=20), check=False)) == {
        "ConfigMap/demo-ha-config": "changed"
    }
    assert json.loads(api.objects[where]["metadata"]["annotations"]["config"])["ttl"] == 20


@pytest.mark.parametrize("lock", ["endpoints", "endpointslice"])
def test_slices_that_a_controller_made_with_our_labels_are_left_alone(lock: str) -> None:
    api = Memory()
    converge(api, wanted(lock=lock), check=False)
    labels = {
        "pgherd.dev/cluster": "demo", "pgherd.dev/applied-by": "play",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }  # fmt: skip
    made_by_it = {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "demo-replicas-x1", "namespace": "databases", "labels": labels, "uid": "x",
                     "resourceVersion": "1", "managedFields": [{"manager": "pgherd-play"}]},
    }  # fmt: skip
    api.objects[f"{SLICES}/demo-replicas-x1"] = made_by_it
    assert moved(converge(api, wanted(lock=lock), check=False)) == {}
    forgotten = dataclasses.replace(wanted(lock=lock), create_once=[])
    assert not [what for what in moved(converge(api, forgotten, check=False)) if what.endswith("/demo-ha")]
    remove(api, wanted(lock=lock), check=False)
    assert [where for where in api.objects if where.startswith(SLICES)] == [f"{SLICES}/demo-replicas-x1"]


def test_scale_down_never_removes_the_primary_that_a_slice_names() -> None:
    api = Memory()
    converge(api, wanted(lock="endpointslice"), check=False)
    api.objects[f"{SLICES}/demo-ha"]["metadata"]["annotations"]["leader"] = "demo-instance1-6flh-0"
    two = [{"name": "instance1", "replicas": 2, "storage": "1Gi"}]
    with pytest.raises(Refused, match="demo-instance1-6flh-0 is the primary"):
        converge(api, wanted(instances=two, lock="endpointslice"), check=False)
