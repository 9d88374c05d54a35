"""One API server for the whole run, one cluster per test."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ha.harness.cluster import Cluster
from tests.ha.harness.verdict import Scene, Witness

ROOT = Path(__file__).resolve().parents[2]
START = 40.0
"""Seconds for three empty members to become a cluster, on a busy machine."""


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
