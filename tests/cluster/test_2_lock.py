"""The lock object as PGO's and Patroni's users know it."""

from __future__ import annotations

import json

from tests.cluster.stage import Stage, eventually

KEYS = {"acquireTime", "leader", "optime", "renewTime", "transitions", "ttl", "slots", "retain_slots"}


def test_the_lock_has_the_annotations_that_people_know(cluster: Stage) -> None:
    lock = cluster.cluster.lock()
    assert lock.keys() >= KEYS
    assert lock["leader"] in cluster.cluster.pods()


def test_the_address_is_the_leaders(cluster: Stage) -> None:
    lock = cluster.cluster.get("endpoints", "demo-ha")
    (subset,) = lock["subsets"]
    leader = cluster.cluster.get("pod", lock["metadata"]["annotations"]["leader"])
    assert [address["ip"] for address in subset["addresses"]] == [leader["status"]["podIP"]]
    assert [(port["name"], port["port"]) for port in subset["ports"]] == [("postgres", 5432)]


def test_clients_are_sent_by_one_slice_that_no_renewal_touches(cluster: Stage) -> None:
    """Nothing is mirrored from the lock: each change of a Service's slice is work for every node's kube-proxy."""

    def route() -> tuple[str, list[str], str]:
        (found,) = cluster.cluster.get("endpointslices", "-l", "kubernetes.io/service-name=demo-ha")["items"]
        addresses = [address for endpoint in found["endpoints"] for address in endpoint["addresses"]]
        return found["metadata"]["name"], addresses, found["metadata"]["resourceVersion"]

    before, leader = route(), cluster.cluster.get("pod", cluster.cluster.lock()["leader"])
    assert before[:2] == ("demo-ha-route", [leader["status"]["podIP"]])
    for _ in range(2):
        renewed = cluster.cluster.lock()["renewTime"]
        eventually("a renewal", lambda was=renewed: cluster.cluster.lock()["renewTime"] > was)  # type: ignore[misc]
    assert route() == before


def test_slots_of_every_replica_move_under_load(cluster: Stage) -> None:
    lock = cluster.cluster.lock()
    replicas = {name.replace("-", "_") for name in cluster.cluster.pods() if name != lock["leader"]}
    before: dict[str, int] = json.loads(lock["slots"])
    assert before.keys() == replicas and all(before.values())
    cluster.client("load")
    cluster.psql("load", "$URI", "CREATE TABLE load AS SELECT generate_series(1, 100000)")

    def moved() -> bool:
        now: dict[str, int] = json.loads(cluster.cluster.lock()["slots"])
        return all(now.get(name, 0) > before[name] for name in before)

    eventually("every slot's position moved", moved)


def test_the_configuration_object_holds_identity_and_history(cluster: Stage) -> None:
    annotations = cluster.cluster.get("endpoints", "demo-ha-config")["metadata"]["annotations"]
    assert int(annotations["initialize"]) > 10**15
    assert json.loads(annotations["config"])["ttl"] == 10
    assert isinstance(json.loads(annotations["history"]), list)


def test_the_table_shows_the_members(cluster: Stage) -> None:
    shown = cluster.cluster.ask("list")
    for name in cluster.cluster.pods():
        assert name in shown
    assert shown.count("Leader") == 1 and shown.count("streaming") == 2
