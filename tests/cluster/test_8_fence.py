"""A frozen agent on a writing primary: S1 and S4 in real pods, seen by clients that were connected before."""

from __future__ import annotations

import json
import uuid
from typing import Any

from pgherd_lab.demo import objects, verdict
from tests.cluster.stage import Stage, eventually, settled


def rows(stage: Stage, pod: str) -> list[verdict.Row]:
    return verdict.rows(stage.cluster.execute(pod, "cat", "/data/writes.jsonl").splitlines())


def writers(stage: Stage, leader: str) -> tuple[str, str]:
    """One session to the primary's pod address, one through the Service; their runs."""
    pod = stage.cluster.get("pod", leader)
    member = {"HOST": f"{leader}.demo-pods", "HOSTADDR": pod["status"]["podIP"]}
    runs = uuid.uuid4().hex[:8], uuid.uuid4().hex[:8]
    elsewhere = objects.elsewhere(pod["spec"]["nodeName"])
    stage.client("direct", objects.write_command(runs[0]), affinity=elsewhere, env=member)
    stage.client("through", objects.write_command(runs[1]), affinity=elsewhere)
    for name in ("direct", "through"):
        eventually(f"{name} writes", lambda name=name: len(rows(stage, name)) > 50)  # type: ignore[misc]
    return runs


def killed(stage: Stage, pod: str) -> dict[str, Any]:
    """The fence's own account of its kill: boot time of the deadline and of the first empty pass."""
    log = stage.cluster.kubectl
    from pgherd_lab.demo.console import output

    for line in reversed(output((*log, "logs", pod, "-c", "database")).splitlines()):
        if '"fence_killed"' in line:
            found: dict[str, Any] = json.loads(line)
            return found
    raise AssertionError(f"the fence of {pod} did not kill")


def test_a_frozen_agent_makes_no_second_primary(cluster: Stage) -> None:
    leader = eventually("a settled cluster", lambda: settled(cluster.cluster) and cluster.cluster.lock()["leader"])
    epoch = int(cluster.cluster.lock()["transitions"])
    runs = writers(cluster, leader)
    restarts = cluster.cluster.get("pod", leader)["status"]["containerStatuses"][0]["restartCount"]

    shown = cluster.fault("freeze-agent", leader)
    assert "T" in str(shown), shown
    timeline = rows(cluster, "through")[-1].timeline
    eventually("another leader", lambda: cluster.cluster.lock().get("leader") not in (None, leader))
    eventually("writes on a new timeline", lambda: rows(cluster, "through")[-1].timeline > timeline)

    direct, through = rows(cluster, "direct"), rows(cluster, "through")
    old = [row for row in (*direct, *through) if row.timeline == timeline]
    new = [row for row in through if row.timeline > timeline]
    fence = killed(cluster, leader)
    last, first = max(row.acknowledged for row in old), min(row.acknowledged for row in new)
    assert last <= fence["killed_at"] < fence["lease_ends_at"] <= first
    assert not [row for row in direct if row.timeline > timeline and row.acknowledged < first]

    receipts = [entry for entry in cluster.cluster.history() if entry["epoch"] > epoch]
    assert len(receipts) == 1, receipts
    for name, run in zip(("direct", "through"), runs, strict=True):
        acknowledged = rows(cluster, name)  # before the table is read: the writers go on
        shown = cluster.cluster.execute("through", "python3", "/writer/writer.py", "ids", run)
        missing = verdict.lost(acknowledged, {int(line) for line in shown.split()})
        assert verdict.unadmitted(missing, receipts) == []

    eventually("the old primary is a replica again", lambda: settled(cluster.cluster), 180)
    status = cluster.cluster.get("pod", leader)["status"]["containerStatuses"][0]
    assert status["restartCount"] == restarts, "the agent is replaced inside the container"
    for name in ("direct", "through"):
        cluster.cluster.delete("pod", name)
