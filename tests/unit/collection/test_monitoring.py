"""How Prometheus finds a cluster: what may be declared, what is made of it, and what must be there first."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.pgherd.postgres.plugins.module_utils.client import ApiError
from ansible_collections.pgherd.postgres.plugins.module_utils.converge import Wanted, converge, remove
from ansible_collections.pgherd.postgres.plugins.module_utils.declaration import Invalid, declare
from ansible_collections.pgherd.postgres.plugins.module_utils.names import rendered_names
from ansible_collections.pgherd.postgres.plugins.module_utils.preflight import problems

from .memory import Memory
from .rendering import ROLE, cluster, rendered, variables

GROUP = "/apis/monitoring.coreos.com/v1"
BOTH: dict[str, Any] = {"pod_monitor": True, "rules": True, "labels": {"release": "prometheus"}, "interval": "15s"}
REVIEWS = "/apis/authorization.k8s.io/v1"


def objects(**monitoring: Any) -> dict[str, dict[str, Any]]:
    applied, _ = rendered(cluster(monitoring=monitoring))
    return {each["kind"]: each for each in applied}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"pod_monitors": True}, "postgres_monitoring.pod_monitors=true: no such field; did you mean pod_monitor?"),
        ({"rules": "perhaps"}, 'postgres_monitoring.rules="perhaps": must be true or false'),
        ({**BOTH, "interval": "15"}, 'postgres_monitoring.interval="15": must be a duration'),
        ({**BOTH, "labels": {"release": "a b"}}, 'postgres_monitoring.labels.release="a b": must be up to 63'),
        ({**BOTH, "labels": {"a b": "x"}}, "the name must be one that Kubernetes takes"),
        ({"labels": {"a": "x"}}, "postgres_monitoring.labels="),
        ([], "postgres_monitoring=[]: must be a dictionary"),
    ],
)
def test_what_cannot_work_is_refused(given: Any, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        declare(variables(monitoring=given), "demo")
    assert said in str(caught.value)


def test_nothing_is_made_unless_it_is_asked_for() -> None:
    made = objects()
    assert not {"PodMonitor", "PrometheusRule"} & made.keys()
    assert not [name for name in made["StatefulSet"]["spec"]["template"]["metadata"]["annotations"] if "prom" in name]


def test_a_pod_monitor_verifies_the_members_that_it_scrapes() -> None:
    declared = cluster(monitoring=BOTH)
    made = objects(**BOTH)
    monitor, pods = made["PodMonitor"], made["StatefulSet"]["spec"]["template"]
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"]["selector"]["matchLabels"].items() <= pods["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] in {port["name"] for port in pods["spec"]["containers"][0]["ports"]}
    assert (endpoint["scheme"], endpoint["path"], endpoint["interval"]) == ("https", "/metrics", "15s")
    tls = endpoint["tlsConfig"]
    members = [each for each in declared["certificates"] if each["secret"].endswith("-certs")]
    assert len(members) == 3 and all(tls["serverName"] in each["dns"] for each in members)
    assert tls["ca"]["secret"]["name"] in {each["secret"] for each in declared["certificates"]}


def test_the_rules_of_a_cluster_speak_of_it_alone() -> None:
    (group,) = objects(**BOTH)["PrometheusRule"]["spec"]["groups"]
    (plain,) = yaml.safe_load((ROLE / "files/alerts.yaml").read_text())["groups"]
    assert len(group["rules"]) == len(plain["rules"]) > 20
    for rule in group["rules"]:
        assert 'cluster="demo",namespace="databases"' in rule["expr"] and "=~" not in rule["expr"].split("cluster=")[1]


def test_annotations_say_where_to_scrape() -> None:
    found = objects(annotations=True)["StatefulSet"]["spec"]["template"]["metadata"]["annotations"]
    assert found["prometheus.io/scrape"] == "true" and found["prometheus.io/port"] == "8008"
    assert found["prometheus.io/scheme"] == "https" and found["prometheus.io/path"] == "/metrics"


def test_patches_may_change_what_is_made() -> None:
    declared = cluster(monitoring=BOTH)
    assert rendered_names(declared)["PodMonitor"] == rendered_names(declared)["PrometheusRule"] == ["demo"]
    assert "PodMonitor" not in rendered_names(cluster())


def preflight(answer: Any, rules: list[dict[str, Any]] | None = None) -> Memory:
    api = Memory()
    everything = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
    api.answers[f"{REVIEWS}/selfsubjectrulesreviews"] = {"status": {"resourceRules": rules or everything}}
    api.answers[f"{REVIEWS}/selfsubjectaccessreviews"] = {"status": {"allowed": False}}
    api.answers["/api/v1/namespaces/databases"] = {}
    api.answers[GROUP] = answer
    return api


@pytest.mark.parametrize("answer", [ApiError("GET", GROUP, 404, "not found"), {"resources": [{"kind": "Probe"}]}])
def test_a_kind_that_is_not_installed_is_named_before_anything_is_changed(answer: Any) -> None:
    found = problems(preflight(answer), "databases", {}, custom_kinds=["PodMonitor", "PrometheusRule"])
    assert len(found) == 2 and found[0].startswith("postgres_monitoring.pod_monitor: this Kubernetes does not know")
    assert problems(preflight(answer), "databases", {}) == [], "who does not ask for them needs none"


def test_the_rights_to_them_are_asked_for() -> None:
    there = {"resources": [{"kind": "PodMonitor"}, {"kind": "PrometheusRule"}]}
    assert problems(preflight(there), "databases", {}, custom_kinds=["PodMonitor"]) == []
    rest = [{"verbs": ["*"], "apiGroups": [group], "resources": ["*"]}
            for group in ("", "apps", "policy", "rbac.authorization.k8s.io", "discovery.k8s.io")]  # fmt: skip
    (said,) = problems(preflight(there, rest), "databases", {}, custom_kinds=["PodMonitor"])
    assert "patch, delete podmonitors.monitoring.coreos.com" in said


def wanted(**monitoring: Any) -> Wanted:
    declared = cluster(monitoring=monitoring)
    applied, once = rendered(declared)
    return Wanted(
        "databases", declared["selector"], declared["owned"], applied, once, users=declared["users"],
        configuration="demo-ha-config", lock="demo-ha",
    )  # fmt: skip


def moved(outcomes: list[Any]) -> dict[str, str]:
    return {f"{each.kind}/{each.name}": each.action for each in outcomes if each.moved}


def test_they_are_applied_kept_and_pruned_like_everything_else() -> None:
    api = Memory()
    assert moved(converge(api, wanted(**BOTH), check=False))["PodMonitor/demo"] == "created"
    assert moved(converge(api, wanted(**BOTH), check=False)) == {}
    without = moved(converge(api, wanted(), check=False))
    assert without == {"PodMonitor/demo": "deleted", "PrometheusRule/demo": "deleted"}
    converge(api, wanted(**BOTH), check=False)
    remove(api, wanted(), check=False)
    assert not [path for path in api.objects if "monitoring" in path]


@pytest.mark.parametrize("status", [403, 404])
def test_a_cluster_without_these_kinds_is_applied_and_deleted_all_the_same(status: int) -> None:
    api = Memory()
    for plural in ("podmonitors", "prometheusrules"):
        where = f"{GROUP}/namespaces/databases/{plural}"
        api.answers[where] = ApiError("GET", where, status, "no")
    assert moved(converge(api, wanted(), check=False))
    assert remove(api, wanted(), check=False)
