"""What users say about the members' pods, volumes and Services, from variable to object."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgherd.postgres.plugins.module_utils.declaration import Invalid

from .rendering import cluster, rendered

SET: dict[str, Any] = {"name": "a", "replicas": 2, "storage": "1Gi"}
MEMBER = cluster(instances=[SET])["members"][0]["name"]


def made(**changes: Any) -> dict[tuple[str, str], dict[str, Any]]:
    return {(each["kind"], each["metadata"]["name"]): each for each in rendered(cluster(**changes))[0]}


def stateful_set(**changes: Any) -> dict[str, Any]:
    """Of the first member of a set with these fields."""
    found: dict[str, Any] = made(instances=[{**SET, **changes}])[("StatefulSet", MEMBER)]
    return found


def pod(**changes: Any) -> dict[str, Any]:
    spec: dict[str, Any] = stateful_set(**changes)["spec"]["template"]["spec"]
    return spec


def mounts(container: dict[str, Any]) -> dict[str, str]:
    return {each["mountPath"]: each["name"] for each in container["volumeMounts"]}


def volume(spec: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [each for each in spec["volumes"] if each["name"] == name]
    return {key: value for key, value in found.items() if key != "name"}


def test_wal_and_tablespaces_have_claims_of_their_own_and_the_agent_knows() -> None:
    shape = {**SET, "storage_class": "slow", "wal_volume": {"storage": "2Gi", "storage_class": "fast"},
             "tablespaces": [{"name": "hot", "storage": "3Gi", "access_modes": ["ReadWriteOncePod"]}]}  # fmt: skip
    objects = made(instances=[shape])
    claims = {name: each["spec"] for (kind, name), each in objects.items() if kind == "PersistentVolumeClaim"}
    assert {name: each["resources"]["requests"]["storage"] for name, each in claims.items() if MEMBER in name} == {
        f"{MEMBER}-pgdata": "1Gi", f"{MEMBER}-pgwal": "2Gi", f"{MEMBER}-hot-tablespace": "3Gi",
    }  # fmt: skip
    assert claims[f"{MEMBER}-pgwal"]["storageClassName"] == "fast"
    assert claims[f"{MEMBER}-hot-tablespace"]["storageClassName"] == "slow", "the set's, where it names none"
    assert claims[f"{MEMBER}-hot-tablespace"]["accessModes"] == ["ReadWriteOncePod"]
    labels = objects[("PersistentVolumeClaim", f"{MEMBER}-hot-tablespace")]["metadata"]["labels"]
    assert (labels["pgherd.dev/role"], labels["pgherd.dev/data"]) == ("tablespace", "hot")
    spec = objects[("StatefulSet", MEMBER)]["spec"]["template"]["spec"]
    assert {"/pgdata", "/pgwal", "/tablespaces/hot"} <= set(mounts(spec["containers"][0]))
    settings = pytest.importorskip("pgherd.model.settings")
    read = settings.read_settings(objects[("ConfigMap", "demo-config")]["data"]["pgherd.yaml"])
    assert read.volumes[f"{MEMBER}-0"] == settings.Volumes("/pgwal/pg17_wal", ("/tablespaces/hot/data",))


def test_a_wal_volume_that_is_to_go_is_mounted_until_the_wal_has_left_it() -> None:
    objects = made(instances=[{**SET, "wal_volume": {"storage": "1Gi", "retire": True}}])
    assert ("PersistentVolumeClaim", f"{MEMBER}-pgwal") in objects
    assert "/pgwal" in mounts(objects[("StatefulSet", MEMBER)]["spec"]["template"]["spec"]["containers"][0])
    assert "volumes:" not in objects[("ConfigMap", "demo-config")]["data"]["pgherd.yaml"]


def test_a_temporary_volume_ends_with_the_pod() -> None:
    spec = pod(temporary_volume={"storage": "5Gi", "storage_class": "local"})
    claim = volume(spec, "postgres-temp")["ephemeral"]["volumeClaimTemplate"]["spec"]
    assert claim["storageClassName"] == "local" and claim["resources"]["requests"]["storage"] == "5Gi"
    assert mounts(spec["containers"][0])["/pgtmp"] == "postgres-temp"


def test_own_volumes_are_mounted_where_they_are_wanted() -> None:
    spec = pod(
        sidecars=[{"name": "proxy", "image": "proxy:1", "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}]}],
        volumes=[
            {"name": "dumps", "claim": "dumps", "read_only": True},
            {"name": "code", "source": {"configMap": {"name": "code"}}, "containers": ["proxy"], "path": "/code"},
            {"name": "tools", "image": {"reference": "tools:1"}, "containers": []},
        ],
    )
    database, proxy = spec["containers"]
    assert mounts(database)["/volumes/dumps"] == "volumes-dumps" and "/code" not in mounts(database)
    assert mounts(proxy) == {"/tmp": "tmp", "/volumes/dumps": "volumes-dumps", "/code": "volumes-code"}
    assert volume(spec, "volumes-dumps") == {"persistentVolumeClaim": {"claimName": "dumps", "readOnly": True}}
    assert volume(spec, "volumes-code") == {"configMap": {"name": "code"}}
    assert volume(spec, "volumes-tools") == {"image": {"reference": "tools:1"}}


def test_a_sidecar_shares_no_process_namespace_and_can_do_little() -> None:
    spec = pod(sidecars=[{"name": "proxy", "image": "proxy:1"}])
    assert spec["shareProcessNamespace"] is False
    security = spec["containers"][1]["securityContext"]
    assert security["capabilities"] == {"drop": ["ALL"]} and not security["allowPrivilegeEscalation"]
    own = {"name": "proxy", "image": "proxy:1", "securityContext": {"runAsUser": 1000}}
    assert pod(sidecars=[own])["containers"][1]["securityContext"] == {"runAsUser": 1000}


def test_scheduling_is_added_to_the_default_or_replaces_it() -> None:
    rack = {"maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}
    toleration = {"key": "dedicated", "operator": "Equal", "value": "db", "effect": "NoSchedule"}
    nodes = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}
    spec = pod(topology_spread=[rack], tolerations=[toleration], affinity={"nodeAffinity": nodes},
               priority_class="high")  # fmt: skip
    assert [each["topologyKey"] for each in spec["topologySpreadConstraints"]] == [
        "kubernetes.io/hostname", "topology.kubernetes.io/zone", "rack",
    ]  # fmt: skip
    assert spec["tolerations"] == [toleration] and spec["priorityClassName"] == "high"
    assert set(spec["affinity"]) == {"nodeAffinity", "podAntiAffinity"}
    assert pod(affinity={"podAntiAffinity": {}})["affinity"] == {"podAntiAffinity": {}}
    plain = made(default_scheduling=False, instances=[SET])[("StatefulSet", MEMBER)]["spec"]["template"]["spec"]
    assert not {"affinity", "topologySpreadConstraints", "tolerations", "priorityClassName"} & set(plain)


@pytest.mark.parametrize(
    ("replicas", "given", "budget"),
    [(2, None, 1), (1, None, None), (1, 1, 1), (3, 2, 2), (3, "50%", "50%"), (3, 0, None), (3, "0%", None)],
)
def test_the_disruption_budget(replicas: int, given: Any, budget: Any) -> None:
    shape = {**SET, "replicas": replicas} | ({} if given is None else {"min_available": given})
    found = made(instances=[shape]).get(("PodDisruptionBudget", "demo-set-a"))
    assert (found["spec"]["minAvailable"] if found else None) == budget


def test_labels_and_annotations_reach_everything_and_the_sets_win() -> None:
    objects = made(
        labels={"team": "one", "tier": "db"}, annotations={"example.org/note": "a: b"},
        instances=[{**SET, "labels": {"team": "two"}, "annotations": {"example.org/own": "x"}}],
    )  # fmt: skip
    for (kind, _), each in objects.items():
        own = kind in ("StatefulSet", "PersistentVolumeClaim", "PodDisruptionBudget")
        assert each["metadata"]["labels"]["team"] == ("two" if own else "one"), kind
        assert each["metadata"]["labels"]["tier"] == "db" and each["metadata"]["annotations"]["example.org/note"]
        assert ("example.org/own" in each["metadata"]["annotations"]) == own
    template = objects[("StatefulSet", MEMBER)]["spec"]["template"]["metadata"]
    assert template["labels"]["team"] == "two" and template["annotations"]["example.org/own"] == "x"
    assert "team" not in objects[("StatefulSet", MEMBER)]["spec"]["selector"]["matchLabels"], "it never changes"
    certificates = {each["secret"]: each["labels"] for each in cluster(instances=[SET])["certificates"]}
    assert certificates["demo-cluster-cert"] == {"pgherd.dev/cluster-certificate": "postgres-tls"}
    assert certificates[f"{MEMBER}-certs"]["pgherd.dev/instance"] == MEMBER


def test_services_are_as_said() -> None:
    objects = made(
        service_type="LoadBalancer", service_annotations={"lb": "internal"}, service_labels={"who": "clients"},
        service_external_traffic_policy="Local", service_internal_traffic_policy="Local",
        service_ip_families=["IPv6", "IPv4"], service_ip_family_policy="PreferDualStack",
        replica_service_type="NodePort", replica_service_node_port=30433, replica_service_annotations={"r": "s"},
    )  # fmt: skip
    primary, replicas = objects[("Service", "demo-ha")], objects[("Service", "demo-replicas")]
    assert (
        primary["metadata"]["annotations"] == {"lb": "internal"} and primary["metadata"]["labels"]["who"] == "clients"
    )
    spec = {key: value for key, value in primary["spec"].items() if key != "ports"}
    assert spec == {
        "type": "LoadBalancer", "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Local",
        "ipFamilies": ["IPv6", "IPv4"], "ipFamilyPolicy": "PreferDualStack",
    }  # fmt: skip
    assert replicas["metadata"]["annotations"] == {"r": "s"} and replicas["spec"]["ports"][0]["nodePort"] == 30433
    assert "annotations" not in objects[("Service", "demo-primary")]["metadata"]


def test_config_files_groups_and_shared_memory() -> None:
    source = {"secret": {"name": "ldap", "items": [{"key": "ca", "path": "ldap/ca.crt"}]}}
    spec = made(config_files=[source], supplemental_groups=[3000], shared_memory_size="", instances=[SET])[
        ("StatefulSet", MEMBER)
    ]["spec"]["template"]["spec"]
    assert volume(spec, "postgres-config")["projected"]["sources"] == [source]
    assert mounts(spec["containers"][0])["/etc/postgres"] == "postgres-config"
    environment = {each["name"]: each.get("value") for each in spec["containers"][0]["env"]}
    assert environment["LDAPTLS_CACERT"] == "/etc/postgres/ldap/ca.crt"
    assert spec["securityContext"]["supplementalGroups"] == [3000]
    assert volume(spec, "dshm") == {"emptyDir": {"medium": "Memory"}}
    assert "KRB5_CONFIG" not in {each["name"] for each in pod()["containers"][0]["env"]}


def test_with_pgos_prefix_labels_are_pgos() -> None:
    declared = cluster(label_prefix="postgres-operator.crunchydata.com/")
    applied, once = rendered(declared)
    labelled = {each["metadata"]["name"]: each["metadata"]["labels"] for each in [*applied, *once]}
    assert labelled["demo-ha"]["postgres-operator.crunchydata.com/patroni"] == "demo-ha"
    text, _ = [next(iter(each["data"].values())) for each in applied if each["kind"] == "ConfigMap"]
    settings = pytest.importorskip("pgherd.model.settings")
    assert settings.read_settings(text).kubernetes.primary_role == "master"


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ({"wal_volume": {"size": "1Gi"}}, "postgres_instances[0].wal_volume.size"),
        ({"wal_volume": {}}, "postgres_instances[0].wal_volume.storage=null: must be a size with a unit"),
        ({"access_modes": ["RWO"]}, 'postgres_instances[0].access_modes="RWO": must be one of ReadWriteOnce'),
        ({"tablespaces": [{"name": "Hot", "storage": "1Gi"}]}, 'tablespaces[0].name="Hot": must be a letter and'),
        ({"tablespaces": [{"name": "hot", "storage": "1Gi"}] * 2}, "tablespaces[1].name"),
        ({"volumes": [{"name": "x"}]}, "volumes[0]={}: must have one of claim, image and source"),
        ({"volumes": [{"name": "x", "claim": "a", "image": {}}, {"name": "x", "claim": "b"}]}, "volumes[1].name"),
        ({"volumes": [{"name": "x", "claim": "a", "path": "/pgdata"}]}, 'path="/pgdata": must be an absolute path'),
        ({"volumes": [{"name": "x", "claim": "a", "containers": ["y"]}]}, 'containers="y": must be one of database'),
        ({"volumes": [{"name": "x", "source": {"hostPath": {"path": "/"}}}]}, "hostPath is refused"),
        ({"volumes": [{"name": "x", "source": {}, "claim": ""}]}, "must have one of"),
        ({"volumes": [{"name": f"x{n}", "claim": "a"} for n in range(11)]}, "has 11 entries; there may be 10"),
        ({"sidecars": [{"name": "database", "image": "x"}]}, 'sidecars[0].name="database": is taken'),
        ({"sidecars": [{"image": "x"}]}, "sidecars[0].name=null"),
        ({"sidecars": [{"name": "x"}]}, "sidecars[0].image=null: is required"),
        (
            {"sidecars": [{"name": "x", "image": "x", "volumeMounts": [{"name": "identity", "mountPath": "/x"}]}]},
            'sidecars[0].volumeMounts="identity": cannot be mounted',
        ),
        ({"affinity": {"hostAffinity": {}}}, "postgres_instances[0].affinity.hostAffinity"),
        ({"tolerations": [{"effect": "Never"}]}, 'tolerations[0].effect="Never": must be one of NoSchedule'),
        ({"topology_spread": [{"maxSkew": 0, "topologyKey": "a"}]}, "topology_spread[0].maxSkew=0"),
        ({"topology_spread": [{"maxSkew": 1}]}, "topology_spread[0].topologyKey=null"),
        ({"priority_class": "Very High"}, "postgres_instances[0].priority_class"),
        ({"min_available": 3}, "postgres_instances[0].min_available=3: must be a number from 0 to 2"),
        ({"min_available": "most"}, 'min_available="most"'),
        ({"labels": {"pgherd.dev/role": "x"}}, "names that begin with pgherd.dev/ are pgherd's own"),
        ({"labels": {"a b": "x"}}, "labels.a b"),
        ({"labels": {"a": "x y"}}, 'labels.a="x y": must be up to 63'),
        ({"annotations": {"a": True}}, "annotations.a=true: must be a text"),
    ],
)
def test_refused_of_a_set(shape: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid) as caught:
        cluster(instances=[{**SET, **shape}])
    assert said in str(caught.value), caught.value


def test_every_set_has_the_tablespaces_that_others_have() -> None:
    hot = {**SET, "tablespaces": [{"name": "hot", "storage": "1Gi"}]}
    with pytest.raises(Invalid) as caught:
        cluster(instances=[hot, {**SET, "name": "b"}])
    assert str(caught.value).startswith("postgres_instances[1].tablespaces=[]: must be hot: every set needs")
    cluster(instances=[hot, {**hot, "name": "b"}])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"service_ip_families": ["IPv5"]}, 'postgres_service_ip_families="IPv5": must be one of IPv4, IPv6'),
        ({"service_ip_families": ["IPv4", "IPv4"]}, "must not name a family twice"),
        ({"service_ip_family_policy": "Both"}, "must be one of SingleStack, PreferDualStack"),
        ({"service_external_traffic_policy": "Local"}, "needs postgres_service_type NodePort or LoadBalancer"),
        ({"replica_service_labels": {"x": "?"}}, "postgres_replica_service_labels.x"),
        ({"config_files": [{"secret": {}, "configMap": {}}]}, "must be exactly one of secret, configMap"),
        ({"config_files": [{"emptyDir": {}}]}, "postgres_config_files[0].emptyDir"),
        ({"supplemental_groups": [0]}, "postgres_supplemental_groups=0"),
        ({"labels": {"pgherd.dev/cluster": "x"}}, "postgres_labels.pgherd.dev/cluster"),
        ({"default_scheduling": "some"}, "must be true or false"),
    ],
)
def test_refused_of_a_cluster(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid) as caught:
        cluster(**changes)
    assert said in str(caught.value), caught.value
