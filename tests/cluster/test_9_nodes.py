"""A node that dies, and one that comes back: the demonstration's own path, and a container that dies twice."""

from __future__ import annotations

from pgherd_lab.demo import objects
from pgherd_lab.demo.cluster import settled
from pgherd_lab.demo.console import Failed
from tests.cluster.stage import Stage, eventually
from tests.cluster.test_3_clients import FULL
from tests.cluster.test_8_fence import rows


def test_a_container_killed_twice_ends_in_a_settled_cluster(cluster: Stage) -> None:
    eventually("a settled cluster", lambda: settled(cluster.cluster), 120)
    for _ in range(2):
        leader = cluster.cluster.lock()["leader"]
        epoch = int(cluster.cluster.lock()["transitions"])
        cluster.fault("kill-container", leader)
        eventually("a new epoch", lambda epoch=epoch: int(cluster.cluster.lock()["transitions"]) > epoch)  # type: ignore[misc]
        eventually("a settled cluster", lambda: settled(cluster.cluster), 180)


def test_a_deleted_pod_hands_over_first(cluster: Stage) -> None:
    eventually("a settled cluster", lambda: settled(cluster.cluster), 120)
    leader = cluster.cluster.lock()["leader"]
    cluster.cluster.delete("pod", leader)
    receipt = eventually("a receipt", lambda: cluster.cluster.history()[-1])
    assert cluster.cluster.lock()["leader"] != leader
    assert receipt["from"]["member"] == leader and receipt["at_risk_bytes"] == 0
    eventually("a settled cluster", lambda: settled(cluster.cluster), 180)


def test_a_killed_node_fails_over_and_rejoins(cluster: Stage) -> None:
    eventually("a settled cluster", lambda: settled(cluster.cluster), 120)
    leader = cluster.cluster.lock()["leader"]
    node = cluster.cluster.pods()[leader]
    cluster.client("writer", objects.write_command("node"), affinity=objects.elsewhere(node))
    eventually("the writer writes", lambda: len(rows(cluster, "writer")) > 20)
    timeline = rows(cluster, "writer")[-1].timeline
    cluster.fault("kill-node", node)
    try:
        eventually("writes on a new timeline", lambda: rows(cluster, "writer")[-1].timeline > timeline)
        shown = cluster.psql("writer", "$URI", "SELECT pg_is_in_recovery()", **FULL)
        assert shown == "f"
    finally:
        cluster.fault("start-node", node)
    eventually("the old primary is a replica again", lambda: settled(cluster.cluster), 240)
    try:
        cluster.cluster.delete("pod", "writer")
    except Failed:
        raise AssertionError("the writer's pod cannot be deleted") from None
