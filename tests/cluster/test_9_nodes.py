"""Containers, pods, nodes and the API die, stand still, are cut off and come back, under the eyes of clients.

Deadlines are generous: how fast it is, benchmarks say. What a client must never see is the same for all (witness.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from pgherd_lab.demo import objects
from pgherd_lab.demo.cluster import settled
from pgherd_lab.demo.console import Failed
from tests.cluster.stage import Stage, eventually
from tests.cluster.test_3_clients import FULL
from tests.cluster.test_8_fence import rows
from tests.cluster.witness import FRESH, THROUGH, Witness

TTL = 10.0
"""Seconds: the demonstration's default."""
SLACK = 8.0
"""Seconds that a busy machine may take for what comes after."""


@pytest.fixture
def witness(cluster: Stage) -> Iterator[Witness]:
    """Clients of a settled cluster, none of them on its leader's node."""
    eventually("a settled cluster", lambda: settled(cluster.cluster), 180)
    made = Witness(cluster)
    made.start(cluster.node(leader(cluster)))
    yield made
    cluster.cluster.delete("pod", "witness")


def leader(stage: Stage) -> str:
    return stage.cluster.lock()["leader"]


def test_a_container_killed_twice_in_a_row_waits_for_no_kubelet(cluster: Stage, witness: Witness) -> None:
    """The kubelet starts it again at once, and the second time only after ten seconds and more."""
    for _ in range(2):
        epoch = int(cluster.cluster.lock()["transitions"])
        cluster.fault("kill-container", leader(cluster))
        eventually("a new epoch", lambda epoch=epoch: int(cluster.cluster.lock()["transitions"]) > epoch)  # type: ignore[misc]
        witness.wrote(THROUGH)
    assert witness.verdict().seconds < TTL


def newer(stage: Stage, epoch: int) -> dict[str, Any] | None:
    """The receipt of the first change after that epoch."""
    return next((entry for entry in stage.cluster.history() if entry["epoch"] > epoch), None)


def test_a_deleted_pod_hands_over_first(cluster: Stage, witness: Witness) -> None:
    old, timeline = leader(cluster), witness.timeline
    epoch = int(cluster.cluster.lock()["transitions"])
    cluster.fault("delete-pod", old)
    witness.writes_anew(timeline)
    receipt = eventually("a receipt", lambda: newer(cluster, epoch))
    assert cluster.cluster.lock()["leader"] != old
    assert receipt["from"]["member"] == old and receipt["at_risk_bytes"] == 0
    assert receipt["reason"]["code"] == "handover"
    assert witness.verdict().seconds < TTL, "handed over, not waited out"


def test_a_killed_node_fails_over_and_rejoins(cluster: Stage) -> None:
    eventually("a settled cluster", lambda: settled(cluster.cluster), 120)
    old = leader(cluster)
    node = cluster.cluster.pods()[old]
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


@pytest.mark.long
def test_a_node_that_stood_still_comes_back_as_a_replica(cluster: Stage, witness: Witness) -> None:
    node, timeline = cluster.node(leader(cluster)), witness.timeline
    cluster.fault("freeze-node", node)
    began = time.monotonic()
    try:
        witness.fresh()
        witness.writes_anew(timeline, FRESH)
        time.sleep(max(0.0, began + 60 - time.monotonic()))
    finally:
        thawed = time.clock_gettime(time.CLOCK_BOOTTIME)
        cluster.fault("thaw-node", node)
    assert witness.verdict(thawed=thawed).seconds < TTL + SLACK


@pytest.mark.long
def test_a_node_that_was_cut_off_comes_back_as_a_replica(cluster: Stage, witness: Witness) -> None:
    node, timeline = cluster.node(leader(cluster)), witness.timeline
    cluster.fault("cut", node)
    try:
        witness.writes_anew(timeline)
    finally:
        cluster.fault("heal", node)
    assert witness.verdict().seconds < TTL + SLACK


@pytest.mark.long
def test_an_api_that_is_away_for_six_ttl_stops_no_write(cluster: Stage, witness: Witness) -> None:
    """Failsafe: every candidate promises the primary not to take the lease that it cannot renew."""
    old, timeline = leader(cluster), witness.timeline
    cluster.fault("stop-api")
    try:
        time.sleep(6 * TTL)
    finally:
        cluster.fault("start-api")
    witness.wrote(THROUGH)
    assert (leader(cluster), witness.timeline) == (old, timeline)
    assert witness.verdict().seconds < TTL / 2, "the primary went on"
