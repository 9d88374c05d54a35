"""A frozen agent on a writing primary: S1 and S4 in real pods, seen by clients that were connected before.

The same run is made with and without the fence: `frozen_run` says what was seen, `violations` judges it.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pgherd_lab.demo import objects, verdict
from pgherd_lab.demo.cluster import settled
from pgherd_lab.demo.console import output
from tests.cluster import account
from tests.cluster.stage import ROOT, Stage, eventually

UNFENCED = "unfenced"


@dataclass(frozen=True)
class Run:
    """One freeze. `direct` wrote to the old primary's address, `through` to the Service; both from before the fault."""

    leader: str
    timeline: int
    direct: tuple[verdict.Row, ...]
    through: tuple[verdict.Row, ...]
    runs: tuple[str, str]
    fence: Mapping[str, Any] | None
    """The fence's own account of its kill, None without one."""
    receipts: tuple[Mapping[str, Any], ...]


def violations(run: Run) -> list[str]:
    """What must never be seen; empty when the fence did its duty (S1, S4)."""
    found = []
    old = [row for row in (*run.direct, *run.through) if row.timeline == run.timeline]
    new = [row for row in run.through if row.timeline > run.timeline]
    ended, first = max(row.acknowledged for row in old), min(row.acknowledged for row in new)
    if ended >= first:
        found.append(f"two primaries for {ended - first:.3f} s")
    last = max(row.sent for row in old)  # a client may be late to see the answer, and the kill may come before that
    if run.fence is None:
        found.append("the fence did not kill")
    elif not last <= run.fence["killed_at"] < run.fence["lease_ends_at"] <= first:
        found.append(f"last commit sent {last}, {dict(run.fence)}, first commit {first}: not in this order")
    if len(run.receipts) != 1:
        found.append(f"{len(run.receipts)} receipts for one failover")
    return found


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


def killed(stage: Stage, pod: str) -> Mapping[str, Any] | None:
    """Boot time of the deadline and of the first empty pass, as the fence logged it."""
    log = output((*stage.cluster.kubectl, "logs", pod, "-c", "database"))
    lines = [line for line in log.splitlines() if '"fence_killed"' in line]
    return json.loads(lines[-1]) if lines else None


def frozen_run(stage: Stage) -> Run:
    """Freeze the agent of the writing primary, wait until another member is written to, and look."""
    leader = eventually("a settled cluster", lambda: settled(stage.cluster) and stage.cluster.lock()["leader"], 180)
    epoch = int(stage.cluster.lock()["transitions"])
    runs = writers(stage, leader)
    shown = stage.fault("freeze-agent", leader)
    assert re.search(r"State:\s+T", shown["text"]), shown
    timeline = rows(stage, "through")[-1].timeline
    eventually("another leader", lambda: stage.cluster.lock().get("leader") not in (None, leader))
    # A client that is connected to the old primary stays there as long as that lives.
    stage.client("fresh", objects.write_command("fresh"), affinity=objects.elsewhere(stage.node(leader)))
    eventually("writes on a new timeline", lambda: [r for r in rows(stage, "fresh") if r.timeline > timeline])
    receipts = tuple(entry for entry in stage.cluster.history() if entry["epoch"] > epoch)
    direct, through, fresh = (rows(stage, name) for name in ("direct", "through", "fresh"))
    return Run(leader, timeline, tuple(direct), (*through, *fresh), runs, killed(stage, leader), receipts)


def lost(stage: Stage, run: Run) -> Sequence[verdict.Row]:
    """Acknowledged rows that are gone and that no receipt admits."""
    missing: list[verdict.Row] = []
    for name, kept in zip(run.runs, (run.direct, run.through), strict=True):
        shown = stage.cluster.execute("fresh", "python3", "/writer/writer.py", "ids", name)
        mine = [row for row in kept if row.timeline == run.timeline]
        missing += verdict.lost(mine, {int(line) for line in shown.split()})
    return verdict.unadmitted(missing, run.receipts)


def test_a_frozen_agent_makes_no_second_primary(cluster: Stage) -> None:
    before = cluster.restarts()
    run = frozen_run(cluster)
    assert violations(run) == []
    assert list(lost(cluster, run)) == []
    eventually("the old primary is a replica again", lambda: settled(cluster.cluster), 180)
    assert cluster.restarts() == before, "the agent is replaced inside the container"
    for name in ("direct", "through", "fresh"):
        cluster.cluster.delete("pod", name)


@pytest.fixture
def unfenced(cluster: Stage, tmp_path: Path) -> Iterator[Stage]:
    """A cluster of its own whose fence never kills: its image is built from a patched copy of the agent."""
    context = tmp_path / "agent"
    shutil.copytree(ROOT / "agent", context, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    source = context / "src/pgherd/fence/loop.py"
    text, head = source.read_text(), "    def _enforce(self, now: float) -> None:\n"
    assert text.count(head) == 1
    source.write_text(text.replace(head, f"{head}        return\n"))
    command = [sys.executable, "-m", "pgherd_lab", "image", "--context", str(context)]
    image = subprocess.run(command, text=True, timeout=600, stdout=subprocess.PIPE, check=True).stdout.strip()
    stage = replace(cluster, image=image, namespace=UNFENCED)
    stage.cluster.apply(objects.namespace(UNFENCED))
    access = account.made(stage.kubectl, stage.kubeconfig, UNFENCED, tmp_path)
    stage = replace(stage, access=access)
    play = stage.play("site")
    assert play.code == 0, play.text
    yield stage
    # Its fence does not even end on SIGTERM: nobody waits for the pods' grace.
    output((*stage.cluster.kubectl, "delete", "pods", "--all", "--grace-period=0", "--force"), limit=120)
    output((*stage.cluster.kubectl, "delete", "namespace", UNFENCED, "--wait=false"))


def test_without_the_fence_the_same_run_fails(unfenced: Stage) -> None:
    found = violations(frozen_run(unfenced))
    assert any(text.startswith("two primaries") for text in found), found
    assert "the fence did not kill" in found
