"""One API server for the whole run, one cluster per test."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ha.harness.clients import Writer
from tests.ha.harness.cluster import Cluster
from tests.ha.harness.member import Member
from tests.ha.harness.verdict import STEP, Scene, Witness
from tests.ha.harness.wait import START, eventually

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def kubeconfig() -> Iterator[Path]:
    """PGHERD_HA_KUBECONFIG, else an API server of this run's own (etcd and kube-apiserver, no nodes)."""
    given = os.environ.get("PGHERD_HA_KUBECONFIG")
    if given:
        yield Path(given)
        return
    environment = {**os.environ, "PGHERD_LAB": str(ROOT / ".build" / "ha-lab")}

    def lab(*arguments: str) -> str:
        command = [sys.executable, "-m", "pgherd_lab", *arguments]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, timeout=2400, check=True)
        return done.stdout.strip()

    lab("up", "--api-only")
    yield Path(lab("kubeconfig"))
    lab("down", "--purge")


@pytest.fixture
def cluster(kubeconfig: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Three members, not started; with a failed test's last words when it fails. Indirectly: the kind of lock (`lock`),
    and their configuration."""
    # Unix sockets have short names: not under pytest's own folder.
    made = Cluster(kubeconfig, Path(tempfile.gettempdir()) / "pgherd-ha", **getattr(request, "param", {}))
    failed = request.session.testsfailed
    try:
        made.create()
        yield made
    finally:
        if request.session.testsfailed > failed or os.environ.get("PGHERD_HA_KEEP"):
            print(made.describe())
        made.close(keep=bool(os.environ.get("PGHERD_HA_KEEP")))


@pytest.fixture
def running(cluster: Cluster) -> Cluster:
    cluster.start()
    cluster.wait_ready(START)
    return cluster


@pytest.fixture
def leader(running: Cluster) -> Member:
    found = eventually("a writable leader", running.writable, START)
    with running.database.session(found.address) as session:
        session.execute("create table written (row bigint primary key)")
    return found


@pytest.fixture
def writers(running: Cluster, leader: Member) -> Iterator[dict[str, Writer]]:
    """One writer per member by pod IP, each with rows of its own."""
    made = {name: Writer(running.database, member.address) for name, member in running.members.items()}
    for index, writer in enumerate(made.values()):
        writer.start(index * STEP)
    eventually("first rows", lambda: len(made[leader.name].acks) > 10, 30)
    yield made
    for writer in made.values():
        writer.stop()


@pytest.fixture
def scene(cluster: Cluster) -> Iterator[Scene]:
    """The cluster runs, and a client writes by each member's address."""
    cluster.start()
    leader = cluster.wait_ready(START)
    witness = Witness(cluster)
    try:
        witness.start(leader)
        yield Scene(cluster, leader, witness)
    finally:
        witness.stop()
