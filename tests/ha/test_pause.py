"""Maintenance, as a person sees it: what people do to PostgreSQL is not failed over, and afterwards all is as ever."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.ha.harness.clients import Writer
from tests.ha.harness.cluster import Cluster
from tests.ha.harness.member import Member
from tests.ha.harness.wait import UNNOTICED, eventually

AGAIN = 20.0


@pytest.fixture
def writer(cluster: Cluster, leader: Member) -> Iterator[Writer]:
    made = Writer(cluster.database, leader.address)
    made.start(0)
    eventually("first rows", lambda: len(made.acks) > 10, 30)
    yield made
    made.stop()


def pgherd(cluster: Cluster, *words: str) -> str:
    where = ["-c", cluster.name, "-n", cluster.objects.namespace, "--kubeconfig", str(cluster.objects.kubeconfig)]
    command = [sys.executable, "-c", "from pgherd.cli import main; main()", *words, *where]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def stays(cluster: Cluster, leader: Member, seconds: float) -> None:
    """Nobody else takes the lease, and nobody's epoch begins."""
    epoch, end = cluster.objects.annotations()["transitions"], time.monotonic() + seconds
    while time.monotonic() < end:
        seen = cluster.objects.annotations()
        assert (seen["leader"], seen["transitions"], seen.get("pause")) == (leader.name, epoch, "true")
        time.sleep(0.2)


def running(member: Member) -> bool:
    try:
        return member.postmaster() > 0
    except AssertionError:
        return False


def longest(times: list[Any]) -> float:
    return max(later.done - earlier.done for earlier, later in itertools.pairwise(times))


def test_what_people_do_in_a_pause_is_not_failed_over_and_afterwards_the_fence_is_armed(
    cluster: Cluster, leader: Member, writer: Writer
) -> None:
    pgherd(cluster, "pause", "--wait")
    assert "Maintenance mode: on" in pgherd(cluster, "list")

    frozen = leader.freeze_agent()  # without a pause: dead before the lease ends
    stays(cluster, leader, 2 * cluster.ttl)
    eventually("another agent", lambda: leader.agent() != frozen, 15)
    assert longest(writer.acks) < UNNOTICED

    leader.kill_agent()
    eventually("another agent", lambda: running(leader) and leader.agent(), 30)

    leader.kill_postmaster()
    stays(cluster, leader, 2 * cluster.ttl)
    assert not running(leader), "the agent has started PostgreSQL in a pause"

    written = len(writer.acks)
    pgherd(cluster, "resume", "--wait")
    assert "Maintenance mode" not in pgherd(cluster, "list")
    eventually("writes again", lambda: len(writer.acks) > written + 10, AGAIN)
    assert cluster.leader() is leader and cluster.timeline(leader) == 1
    assert cluster.objects.annotations()["transitions"] == "1"

    leader.freeze_agent()
    new = eventually("a new leader", lambda: cluster.writable(leader), cluster.ttl + 10)
    taken = time.monotonic()
    time.sleep(1.0)
    assert new is not leader and writer.acks[-1].done < taken


@pytest.mark.long
def test_a_container_that_was_killed_in_a_pause_keeps_its_lease_and_starts_nothing(
    cluster: Cluster, leader: Member, writer: Writer
) -> None:
    pgherd(cluster, "pause", "--wait")
    leader.kill()
    leader.report()
    leader.start()
    eventually("its own take", lambda: cluster.objects.annotations()["transitions"] == "2", AGAIN)
    stays(cluster, leader, 2 * cluster.ttl)
    assert not running(leader)
    written = len(writer.acks)
    pgherd(cluster, "resume", "--wait")
    eventually("writes again", lambda: len(writer.acks) > written + 10, AGAIN)
    assert cluster.leader() is leader and cluster.timeline(leader) == 1
