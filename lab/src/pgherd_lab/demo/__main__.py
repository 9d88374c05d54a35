"""`make demo`: from an empty machine to a failover that can be read line by line.

Lives as long as one run; leaves the lab up, the cluster running and the evidence in the lab's state folder.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import click

from pgherd_lab.demo import objects, verdict
from pgherd_lab.demo.cluster import Cluster, settled
from pgherd_lab.demo.console import Failed, fail, output, run, say, step, wait
from pgherd_lab.errors import LabError
from pgherd_lab.locks import locked
from pgherd_lab.paths import state_folder

NAME, USER, REPLICAS = "demo", "demo", 2
LAB = (sys.executable, "-m", "pgherd_lab")
LONGEST = 1800.0
"""Seconds that a second demonstration waits for the first: they would break each other's cluster."""


def lab(*arguments: str) -> None:
    run((*LAB, *arguments))


def prepare() -> tuple[Cluster, str, str]:
    """Lab, image and namespace: the cluster, its kubeconfig and the image's reference."""
    step("what this machine has, and what is installed if it is missing")
    lab("doctor", "--install")
    step("upstream Kubernetes (built once, cached outside the checkout)")
    lab("build")
    step("three nodes")
    lab("up")
    step("the agent's image (PostgreSQL, pgherd), on every node")
    image = output((*LAB, "image"), limit=1200).strip()
    say(image)
    kubeconfig = output((*LAB, "kubeconfig")).strip()
    kubectl = (*LAB, "kubectl")
    cluster = Cluster(NAME, kubectl)
    cluster.apply(objects.namespace())
    return cluster, kubeconfig, image


def converge(kubeconfig: str, image: str) -> None:
    """Run the real playbook, and print the command so that a person can run it again."""
    playbook = shutil.which("ansible-playbook") or "ansible-playbook"
    command = [playbook, "-i", "inventory/demo", "playbooks/site.yml"]
    step("the playbook; to run it again:")
    say(f"K8S_AUTH_KUBECONFIG={kubeconfig} PGHERD_IMAGE={image} {' '.join(command)}")
    run(command, environment={**os.environ, "K8S_AUTH_KUBECONFIG": kubeconfig, "PGHERD_IMAGE": image})


def version_matches(cluster: Cluster) -> None:
    from pgherd_lab import __version__

    found = cluster.ask("version", "--format", "json")
    if json.loads(found)["version"] != __version__:
        raise Failed(f"the pods run pgherd {found.strip()}, this checkout is {__version__}")


def start_writer(cluster: Cluster, image: str, avoid: str) -> str:
    """A fresh writer with a fresh run name; returns once rows are acknowledged."""
    name = uuid.uuid4().hex[:8]
    cluster.delete("pod", objects.WRITER)
    cluster.apply(objects.script(), objects.writer(image, NAME, USER, name, avoid))
    wait("the first acknowledged rows", lambda: len(written(cluster)) > 50 or None, 60)
    return name


def written(cluster: Cluster) -> list[verdict.Row]:
    text = cluster.execute(objects.WRITER, "cat", "/data/writes.jsonl")
    return verdict.rows(text.splitlines())


def break_primary(cluster: Cluster, fault: str) -> tuple[str, str, float]:
    """The leader's name, its node, and when the fault had taken effect (wall clock)."""
    leader = cluster.lock()["leader"]
    node = cluster.pods()[leader]
    step(f"the fault: {fault} on {node}, where {leader} is the primary")
    if fault == "kill-node":
        lab("fault", "kill-node", node)
    return leader, node, time.time()


def keep(cluster: Cluster, receipts: list[dict[str, Any]]) -> tuple[Path, Path]:
    """The evidence outside the cluster: the writer's file and the history."""
    folder = state_folder() / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    text = cluster.execute(objects.WRITER, "cat", "/data/writes.jsonl")
    (folder / "writes.jsonl").write_text(text)
    (folder / "history.json").write_text(json.dumps(receipts, indent=1))
    return folder / "writes.jsonl", folder / "history.json"


def report(receipts: list[dict[str, Any]], fault: float, rows: list[verdict.Row], paths: tuple[Path, Path]) -> None:
    for receipt in receipts:
        sender, taker = receipt["from"], receipt["to"]
        say(f"epoch {receipt['epoch']}: {sender['member']} (timeline {sender['timeline']}) -> {taker['member']}"
            f" (timeline {taker['timeline']} from {taker['lsn']}): {receipt['reason']['text']}")  # fmt: skip
        for name, seconds in verdict.instants(receipt, fault):
            say(f"  {name.replace('_', ' '):<12} {seconds:7.3f} s after the fault")
    gap = verdict.longest_gap(rows)
    say(f"longest gap between acknowledged writes: {gap.seconds:.3f} s, between rows {gap.after} and {gap.before}")
    say(f"receipts: {paths[1]}   writer's file: {paths[0]}")


def watch_failover(cluster: Cluster, fault: str, leader: str) -> None:
    """Until another member leads and the writer is acknowledged again."""
    if fault == "none":
        say("no fault: watching for 15 s")
        time.sleep(15)
        return
    wait("a new leader", lambda: (cluster.lock().get("leader") not in (None, leader)) or None, 120)
    last = written(cluster)[-1].timeline
    wait("writes on a new timeline", lambda: (written(cluster)[-1].timeline > last) or None, 120)


def judge(cluster: Cluster, name: str, fault: float, before: tuple[int, int]) -> list[str]:
    """Read everything back and print it; the problems."""
    rows = written(cluster)
    receipts = [entry for entry in cluster.history() if entry["epoch"] > before[1]]
    paths = keep(cluster, receipts)
    step("what happened")
    report(receipts, fault, rows, paths)
    out = cluster.execute(objects.WRITER, "python3", "/writer/writer.py", "ids", name)
    present = {int(line) for line in out.split()}
    missing = verdict.lost(rows, present)
    say(f"{len(rows)} rows acknowledged, {len(missing)} of them missing")
    streaming = sum(member["state"] == "streaming" for member in cluster.members())
    return verdict.problems(rows, present, receipts, (before[0], rows[-1].timeline), streaming, REPLICAS)


def closing(cluster: Cluster, kubeconfig: str) -> None:
    step("yours now")
    pod = sorted(cluster.pods())[0]
    for line in (
        f"export KUBECONFIG={kubeconfig}",
        f"kubectl -n {objects.NAMESPACE} get pods -o wide          (or: pgherd-lab kubectl ...)",
        f"kubectl -n {objects.NAMESPACE} exec -it {pod} -- pgherd list",
        f"kubectl -n {objects.NAMESPACE} exec -it {pod} -- psql",
        "pgherd-lab fault --help                        every way to break it",
        "make demo-down                                 end it",
    ):
        say(line)


def demonstrate(fault: str) -> int:
    cluster, kubeconfig, image = prepare()
    converge(kubeconfig, image)
    step("the cluster, from inside a pod: pgherd list")
    wait("one leader and two streaming replicas", lambda: settled(cluster), 120)
    version_matches(cluster)
    print(cluster.ask("list"))
    node = cluster.pods()[cluster.lock()["leader"]]
    step("a writer: one psycopg session through demo-primary, one transaction a row")
    name = start_writer(cluster, image, node)
    before = (written(cluster)[-1].timeline, int(cluster.lock()["transitions"]))
    leader, node, at = break_primary(cluster, fault)
    watch_failover(cluster, fault, leader)
    print(cluster.ask("list"))
    if fault == "kill-node":
        step(f"{node} comes back, and {leader} with it, as a replica")
        lab("fault", "start-node", node)
    wait("one leader and two streaming replicas", lambda: settled(cluster), 240)
    print(cluster.ask("list"))
    found = judge(cluster, name, at, before)
    cluster.delete("pod", objects.WRITER)
    closing(cluster, kubeconfig)
    return fail("; ".join(found)) if found else 0


@click.command()
@click.option("--fault", type=click.Choice(["kill-node", "none"]), default="kill-node", show_default=True)
def main(fault: str) -> None:
    """Bring up the lab, provision a cluster, break its primary and show the failover."""
    try:
        with locked(state_folder() / "demo.lock", "another demonstration on this lab", say, LONGEST):
            sys.exit(demonstrate(fault))
    except (Failed, LabError) as error:
        sys.exit(fail(str(error)))


if __name__ == "__main__":
    main()
