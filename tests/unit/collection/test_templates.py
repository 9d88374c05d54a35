"""What the templates of role cluster make: the shapes that pods, agents and clients rely on."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from ansible_collections.pgherd.postgres.plugins.module_utils.names import KINDS, LOCK_KINDS
from ansible_collections.pgherd.postgres.plugins.module_utils.preflight import rights

from pgherd.model.methods import BASEBACKUP, Method
from pgherd.model.settings import read_configuration, read_settings

from .rendering import cluster, rendered


def objects(**changes: Any) -> dict[tuple[str, str], dict[str, Any]]:
    applied, _ = rendered(cluster(**changes))
    return {(each["kind"], each["metadata"]["name"]): each for each in applied}


def test_everything_bears_the_labels_of_what_the_play_owns() -> None:
    for each in objects().values():
        labels = each["metadata"]["labels"]
        assert labels["pgherd.dev/cluster"] == "demo" and labels["pgherd.dev/applied-by"] == "play"
        assert each["metadata"]["namespace"] == "databases"


def test_what_the_agents_own_does_not_bear_them() -> None:
    _, once = rendered(cluster())
    assert {(each["kind"], each["metadata"]["name"]) for each in once} == {
        ("Endpoints", "demo-ha"), ("Endpoints", "demo-ha-config"), ("ConfigMap", "demo-ha-failover"),
        ("ConfigMap", "demo-status"), ("EndpointSlice", "demo-ha-route"),
    }  # fmt: skip
    for each in once:
        labels = each["metadata"]["labels"]
        assert labels["pgherd.dev/cluster"] == "demo" and "pgherd.dev/applied-by" not in labels
    lock = once[0]["metadata"]["annotations"]
    assert lock == {"transitions": "0", "released": "0", "ttl": "10"} and "subsets" not in once[0]


def test_configuration_is_what_was_declared() -> None:
    declared = cluster(parameters={"work_mem": "8MB"}, ttl=20)
    _, once = rendered(declared)
    annotations = once[2]["metadata"]["annotations"]
    assert yaml.safe_load(annotations["config"]) == declared["configuration"]
    assert annotations["config-applied"] == annotations["config"]


def test_members_are_reached_by_each_other_and_clients_on_the_port_of_postgresql_alone() -> None:
    policy = objects()[("NetworkPolicy", "demo-members")]["spec"]
    members = {"matchLabels": {"pgherd.dev/cluster": "demo", "pgherd.dev/data": "postgres"}}
    pod = objects()[("StatefulSet", "demo-instance1-23r5")]["spec"]["template"]
    assert policy["podSelector"] == members and members["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert policy["policyTypes"] == ["Ingress"], "members reach the API, whose address nobody knows"
    among_members, clients = policy["ingress"]
    assert among_members["from"] == [{"podSelector": members}]
    ports = {each["name"] for each in pod["spec"]["containers"][0]["ports"]}
    assert {each["port"] for each in among_members["ports"]} == ports == {"postgres", "rest"}
    assert clients == {"ports": [{"protocol": "TCP", "port": "postgres"}]}


def test_clients_and_monitoring_are_who_was_declared_and_the_policy_can_be_left_out() -> None:
    clients = [{"namespaceSelector": {"matchLabels": {"team": "a"}}}, {"ipBlock": {"cidr": "10.1.0.0/16"}}]
    monitoring = [{"podSelector": {}, "namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]
    made = objects(network_policy_clients=clients, network_policy_monitoring=monitoring)
    _, to_postgresql, to_rest = made[("NetworkPolicy", "demo-members")]["spec"]["ingress"]
    assert (to_postgresql["from"], to_rest["from"]) == (clients, monitoring)
    assert [each["port"] for each in to_rest["ports"]] == ["rest"]
    assert "NetworkPolicy" not in {kind for kind, _ in objects(network_policy=False)}


@pytest.mark.parametrize("prefix", ["pgherd.dev/", "postgres-operator.crunchydata.com/"])
def test_the_clusters_own_poolers_reach_members_whoever_else_may(prefix: str) -> None:
    clients = [{"ipBlock": {"cidr": "10.1.0.0/16"}}]
    declared = {"label_prefix": prefix, "pooler": {"replicas": 1, "read_only_replicas": 1}}
    made = objects(network_policy_clients=clients, **declared)
    _, listed, poolers = made[("NetworkPolicy", "demo-members")]["spec"]["ingress"]
    assert listed["from"] == clients and poolers["ports"] == listed["ports"]
    pools = [made[("Deployment", name)]["spec"] for name in ("demo-pgbouncer", "demo-pgbouncer-ro")]
    assert [each["podSelector"] for each in poolers["from"]] == [each["selector"] for each in pools]
    member = made[("StatefulSet", "demo-instance1-23r5")]["spec"]["template"]["metadata"]["labels"]
    for each in poolers["from"]:
        assert not each["podSelector"]["matchLabels"].items() <= member.items()
    everybody = objects(**declared)[("NetworkPolicy", "demo-members")]["spec"]["ingress"]
    assert everybody[1:] == [{"ports": listed["ports"]}], "nobody has to be named"


def test_a_pod_can_do_nothing_that_it_need_not() -> None:
    pod = objects()[("StatefulSet", "demo-instance1-23r5")]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == 26
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["shareProcessNamespace"] is False and pod["enableServiceLinks"] is False
    (container,) = pod["containers"]
    assert "command" not in container
    security = container["securityContext"]
    assert security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
    assert set(mounts) == {"/pgdata", "/pgconf/tls", "/etc/pgherd", "/run/pgherd", "/tmp", "/dev/shm"}
    assert set(mounts.values()) == {each["name"] for each in pod["volumes"]}


def test_pods_fit_into_a_namespace_that_enforces_restricted_pod_security() -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/, profile Restricted, control by control."""
    pod = objects()[("StatefulSet", "demo-instance1-23r5")]["spec"]["template"]["spec"]
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers", "ephemeralContainers"} & set(pod)
    assert pod["securityContext"]["runAsNonRoot"] is True and "sysctls" not in pod["securityContext"]
    kinds = {kind for volume in pod["volumes"] for kind in volume if kind != "name"}
    assert kinds <= {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret", "downwardAPI"}
    for container in pod["containers"]:
        security = container["securityContext"]
        assert security["runAsNonRoot"] is True and security["privileged"] is False
        assert not {"add"} & set(security["capabilities"]) and not {"procMount", "seccompProfile"} & set(security)
        assert not [port for port in container["ports"] if port.get("hostPort")]
        assert container["resources"] == cluster()["resources"] and container["resources"]["limits"]


def test_liveness_asks_the_fence() -> None:
    (container,) = objects()[("StatefulSet", "demo-instance1-23r5")]["spec"]["template"]["spec"]["containers"]
    assert container["livenessProbe"]["exec"]["command"] == ["test", "!", "-e", "/run/pgherd/overdue"]


def test_members_are_spread_over_nodes_and_zones() -> None:
    pod = objects()[("StatefulSet", "demo-instance1-23r5")]["spec"]["template"]["spec"]
    spread = pod["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in spread] == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
    (preferred,) = pod["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    term = preferred["podAffinityTerm"]
    assert term["topologyKey"] == "kubernetes.io/hostname"
    labels = objects()[("StatefulSet", "demo-instance1-23r5")]["spec"]["template"]["metadata"]["labels"]
    for selector in [term["labelSelector"], *(each["labelSelector"] for each in spread)]:
        assert selector["matchLabels"].items() <= labels.items()


def test_certificates_are_where_the_settings_say() -> None:
    pod = objects()[("StatefulSet", "demo-instance1-23r5")]["spec"]["template"]["spec"]
    (projected,) = [each["projected"] for each in pod["volumes"] if "projected" in each]
    assert projected["defaultMode"] == 0o440
    files = {item["path"] for source in projected["sources"] for item in source["secret"]["items"]}
    assert files == {f"{folder}{name}" for folder in ("", "replication/", "rest/", "remote/")
                     for name in ("tls.crt", "tls.key", "ca.crt")}  # fmt: skip


def test_settings_are_what_the_agent_reads() -> None:
    settings = pytest.importorskip("pgherd.model.settings")
    text = objects()[("ConfigMap", "demo-config")]["data"]["pgherd.yaml"]
    read = settings.read_settings(text)
    assert read.members == tuple(each["pod"] for each in cluster()["members"])
    assert read.postgres.version == 17


def test_users_and_databases_are_what_the_agent_reads() -> None:
    access = pytest.importorskip("pgherd.model.access")
    read = access.read_declared(objects()[("ConfigMap", "demo-users")]["data"]["users"])
    assert read.users == (access.DeclaredUser("demo", "demo-pguser-demo", ("demo",)),) and read.databases == ()
    none = objects(users=[])[("ConfigMap", "demo-users")]["data"]["users"]
    assert access.read_declared(none) == access.Declared()
    everything = objects(
        create_user_schema=False,
        users=[
            {"name": "app", "databases": ["shop"], "options": "CREATEDB", "roles": ["pg_monitor"], "schema": True},
            {"name": "old", "databases": ["shop"], "state": "absent", "reassign_to": "app"},
            {"name": "plain", "password": {"type": "AlphaNumeric"}},
        ],
        databases=[
            {"name": "shop", "owner": "app", "encoding": "UTF8", "locale": "C", "connection_limit": 5,
             "extensions": ["hstore", {"name": "citext", "schema": "public"}]},
            {"name": "gone", "state": "absent", "purge": True},
        ],
    )[("ConfigMap", "demo-users")]["data"]["users"]  # fmt: skip
    read = access.read_declared(everything)
    assert read.users == (
        access.DeclaredUser("app", "demo-pguser-app", ("shop",), "CREATEDB", ("pg_monitor",)),
        access.DeclaredUser("old", state="absent", reassign_to="app"),
        access.DeclaredUser("plain", "demo-pguser-plain", schema=False),
    )
    extensions = (access.DeclaredExtension("hstore"), access.DeclaredExtension("citext", "public"))
    assert read.databases == (
        access.DeclaredDatabase("shop", "app", "UTF8", "C", 5, extensions),
        access.DeclaredDatabase("gone", state="absent", purge=True),
    )


def test_configuration_is_one_that_the_agent_accepts() -> None:
    settings = pytest.importorskip("pgherd.model.settings")
    _, once = rendered(cluster())
    read = settings.read_configuration(once[2]["metadata"]["annotations"]["config"])
    assert (read.ttl, read.loop_wait, read.retry_timeout) == (10, 3, 3)


def test_services_lead_where_clients_expect() -> None:
    made = objects()
    assert "selector" not in made[("Service", "demo-ha")]["spec"]
    assert made[("Service", "demo-primary")]["spec"]["clusterIP"] == "None"
    address = made[("Endpoints", "demo-primary")]["subsets"][0]["addresses"][0]["ip"]
    assert address == "$(Service/demo-ha:spec.clusterIP)"
    assert made[("Service", "demo-replicas")]["spec"]["selector"]["pgherd.dev/role"] == "replica"
    assert made[("Service", "demo-pods")]["spec"]["publishNotReadyAddresses"] is True
    shown = objects(service_type="NodePort", service_node_port=30432)[("Service", "demo-ha")]["spec"]
    assert (shown["type"], shown["ports"][0]["nodePort"]) == ("NodePort", 30432)


def rules(**changes: Any) -> list[tuple[str, list[str], list[str]]]:
    """Resource, names and verbs of every rule of the members' Role."""
    found = objects(**changes)[("Role", "demo-instance")]["rules"]
    groups = {"endpointslices": "discovery.k8s.io"}
    assert all(rule["apiGroups"] == [groups.get(rule["resources"][0], "")] for rule in found)
    assert all(len(rule["resources"]) == 1 for rule in found)
    return [(rule["resources"][0], rule.get("resourceNames", []), rule["verbs"]) for rule in found]


def test_a_member_may_do_what_its_agent_does_and_no_more() -> None:
    """By name, but for the list of pods, which RBAC cannot restrict to a label, and the making of what was lost.

    No pods/exec, nothing cluster-wide.
    """
    assert rules() == [
        ("endpointslices", ["demo-ha-route", "demo-ha-route-ipv6"], ["get", "list", "watch", "patch"]),
        ("endpointslices", [], ["create"]),
        ("endpoints", ["demo-ha", "demo-ha-config"], ["get", "list", "watch", "patch"]),
        ("endpoints", [], ["create"]),
        ("configmaps", ["demo-ha-failover"], ["get", "list", "watch", "patch"]),
        ("configmaps", ["demo-users"], ["get", "list", "watch", "patch"]),
        ("configmaps", ["demo-status"], ["get", "patch"]),
        ("pods", [], ["list", "watch"]),
        ("pods", [each["pod"] for each in cluster()["members"]], ["patch"]),
        ("secrets", ["demo-pguser-demo"], ["get", "list", "watch"]),
    ]
    assert "secrets" not in [resource for resource, *_ in rules(users=[])]


def test_a_lock_that_is_a_slice_needs_no_endpoints_at_all() -> None:
    """An API server may have dropped them."""
    applied, once = rendered(cluster(lock="endpointslice"))
    assert "Endpoints" not in {each["kind"] for each in [*applied, *once]}
    lock, route, configuration, *_ = once
    assert (lock["kind"], lock["metadata"]["name"], lock["addressType"]) == ("EndpointSlice", "demo-ha", "IPv4")
    assert "kubernetes.io/service-name" not in lock["metadata"]["labels"] and lock["endpoints"] == []
    assert route["metadata"]["labels"]["kubernetes.io/service-name"] == "demo-ha"
    assert lock["metadata"]["annotations"] == {"transitions": "0", "released": "0", "ttl": "10"}
    assert (configuration["kind"], configuration["metadata"]["name"]) == ("ConfigMap", "demo-ha-config")
    made = {(each["kind"], each["metadata"]["name"]): each for each in applied}
    assert ("Service", "demo-ha-config") not in made  # it only keeps Endpoints from being collected
    primary = made[("EndpointSlice", "demo-primary")]
    assert primary["endpoints"][0]["addresses"] == ["$(Service/demo-ha:spec.clusterIP)"]
    assert primary["metadata"]["labels"]["kubernetes.io/service-name"] == "demo-primary"
    assert rules(lock="endpointslice")[:3] == [
        ("endpointslices", ["demo-ha-route", "demo-ha-route-ipv6", "demo-ha"], ["get", "list", "watch", "patch"]),
        ("endpointslices", [], ["create"]),
        ("configmaps", ["demo-ha-config"], ["get", "list", "watch", "patch"]),
    ]


def test_the_agents_make_the_lock_as_the_play_does() -> None:
    """Labels and fields of a lock that they make again, beside what is written into it."""
    module = pytest.importorskip("pgherd.kubernetes.endpointslice")
    (lock, *_), frame = rendered(cluster(lock="endpointslice"))[1], module.ENDPOINT_SLICE.frame("demo-ha")
    assert frame["labels"].items() <= lock["metadata"]["labels"].items()
    assert frame["addressType"] == lock["addressType"]


@pytest.mark.parametrize("lock", ["endpoints", "endpointslice"])
def test_the_agents_know_the_lock_that_the_play_makes(lock: str) -> None:
    settings = pytest.importorskip("pgherd.model.settings")
    text = objects(lock=lock)[("ConfigMap", "demo-config")]["data"]["pgherd.yaml"]
    assert settings.read_settings(text).kubernetes.lock == lock


def test_the_play_asks_for_every_right_that_it_hands_on() -> None:
    """Kubernetes lets nobody grant what he may not do himself."""
    for lock, lock_kind in LOCK_KINDS.items():
        for resource, _, verbs in rules(lock=lock):
            (kind,) = [kind for kind, (_, plural) in KINDS.items() if plural == resource]
            assert set(verbs) <= set(rights(lock_kind)[kind])


def test_names_that_yaml_takes_for_something_else_stay_names() -> None:
    applied, once = rendered(cluster(namespace="123", cluster_name="on", storage_class="1e3"))
    assert {each["metadata"]["namespace"] for each in applied + once} == {"123"}
    (settings, _) = [yaml.safe_load(*each["data"].values()) for each in applied if each["kind"] == "ConfigMap"]
    assert settings["cluster"] == "on"
    claims = [each["spec"]["storageClassName"] for each in applied if each["kind"] == "PersistentVolumeClaim"]
    assert set(claims) == {"1e3"}


def test_members_keep_their_volumes_apart_from_their_pods() -> None:
    made = objects(storage_class="fast")
    claim = made[("PersistentVolumeClaim", "demo-instance1-23r5-pgdata")]
    assert claim["spec"]["storageClassName"] == "fast"
    stateful_set = made[("StatefulSet", "demo-instance1-23r5")]["spec"]
    assert "volumeClaimTemplates" not in stateful_set
    assert stateful_set["updateStrategy"] == {"type": "OnDelete"}
    assert "replicas" not in stateful_set  # a rollout's alone: it stops and starts member by member


def test_a_single_member_has_no_disruption_budget() -> None:
    one = objects(instances=[{"name": "a", "replicas": 1, "storage": "1Gi"}])
    assert not [key for key in one if key[0] == "PodDisruptionBudget"]
    assert objects()[("PodDisruptionBudget", "demo-set-instance1")]["spec"]["minAvailable"] == 1


def settings(**changes: Any) -> Any:
    config = objects(**changes)[("ConfigMap", "demo-config")]
    return yaml.safe_load(config["data"]["pgherd.yaml"])


def test_tags_reach_the_members_of_their_set() -> None:
    first = {"name": "a", "replicas": 1, "storage": "1Gi"}
    other = {"name": "b", "replicas": 2, "storage": "1Gi", "tags": {"nofailover": "yes", "zone": "east"}}
    found = settings(instances=[first, other])
    tagged = {pod for pod in found["members"] if pod.startswith("demo-b-")}
    assert len(tagged) == 2
    assert found["tags"] == {pod: {"nofailover": True, "zone": "east"} for pod in tagged}
    assert "tags" not in settings()


def test_who_is_named_by_its_own_set_streams_from_the_leader() -> None:
    """The first of a remote set brings the WAL there once, the others take it from that one."""
    name = {"name": "a", "replicas": 2, "storage": "1Gi"}
    one, two = settings(instances=[name])["members"]
    found = settings(instances=[{**name, "tags": {"replicatefrom": one}}])
    assert found["tags"] == {two: {"replicatefrom": one}}


def test_methods_reach_the_agents_in_the_shape_that_they_read() -> None:
    copy = {"name": "copy", "command": "/bin/copy -v", "no_params": "yes", "time_limit": 60, "arguments": {"rate": 5}}
    method = Method("copy", "/bin/copy -v", no_params=True, time_limit=60, arguments=(("rate", "5"),))
    made = cluster(clone_methods=[copy, {"name": "basebackup"}])["configuration"]
    assert read_configuration(json.dumps(made)).clone_methods == (method, BASEBACKUP)
    assert "create_replica_methods" not in cluster()["configuration"]["postgresql"]
    found = settings(bootstrap_method=copy)
    assert read_settings(json.dumps(found)).bootstrap_method == method
    assert "bootstrap" not in settings()
