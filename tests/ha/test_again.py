"""A second fault while the first is being dealt with: each ends in a cluster where everybody streams.

What is killed half-way is found by looking at the member's own processes, at its real programs.
"""

from __future__ import annotations

import os
import shutil
import signal

import pytest

from tests.ha.harness.member import Member
from tests.ha.harness.verdict import Scene
from tests.ha.harness.wait import SLACK, UNNOTICED, eventually


def diverge(scene: Scene, leader: Member) -> None:
    """The leader acknowledges rows that no other member gets, and dies; its kubelet says so."""
    scene.cluster.sever(leader)
    scene.witness.wrote(leader, 50)
    leader.kill()
    leader.report()
    scene.cluster.rejoin(leader)


def caught_at(member: Member, program: str, within: float = 40) -> list[int]:
    """The processes of a tool, as soon as it works."""
    return eventually(f"{program} on {member.name}", lambda: member.running(program), within, every=0.002)


def killed_again(member: Member) -> None:
    member.kill()
    member.report()
    member.start()


@pytest.mark.long
def test_three_failovers_in_a_row(scene: Scene) -> None:
    leader = scene.leader
    for timeline in (2, 3, 4):
        scene.cluster.vanish(leader)
        new = scene.another(leader)
        assert scene.cluster.timeline(new) == timeline
        scene.cluster.come_back(leader)
        eventually(
            "everybody is a candidate again",
            lambda new=new: scene.cluster.candidates() | {new.name} == set(scene.cluster.members),
            60,
        )
        leader = new
    eventually("three receipts", lambda: len(scene.cluster.objects.history()) == 3, 30)
    scene.witness.verdict(leader)


def test_a_container_that_dies_twice_costs_no_more_the_second_time(scene: Scene) -> None:
    """The kubelet waits ten seconds and more before it starts it the second time: nobody else waits for that."""
    killed_again(scene.leader)
    leader = eventually("a writable leader", scene.cluster.writable, scene.cluster.ttl + 10)
    scene.witness.wrote(leader)
    eventually("candidates", lambda: len(scene.cluster.candidates()) == 2, 60)
    leader.kill()
    leader.report()
    new = scene.another(leader)
    assert scene.witness.gap < scene.cluster.ttl + SLACK
    leader.start()
    scene.witness.verdict(new)


@pytest.mark.long
def test_a_member_killed_while_it_clones_becomes_a_replica(scene: Scene) -> None:
    other = scene.others[0]
    other.kill()
    other.report()
    shutil.rmtree(other.folder / "pgdata")
    other.start()
    caught_at(other, "pg_basebackup")
    killed_again(other)
    assert scene.witness.verdict(scene.leader) == []
    assert scene.witness.gap < UNNOTICED


@pytest.mark.long
def test_a_member_killed_while_it_rewinds_becomes_a_replica(scene: Scene) -> None:
    old = scene.leader
    diverge(scene, old)
    new = scene.another()
    old.start()
    caught_at(old, "pg_rewind")
    killed_again(old)
    scene.witness.verdict(new)


@pytest.mark.parametrize("cluster", [{"postgresql": {"pre_promote": "/bin/sleep 2"}}], indirect=True)
def test_a_member_killed_while_it_promotes_costs_one_more_failover(scene: Scene) -> None:
    """It holds the lease and was promoted, and nobody heard so: its timeline is not the cluster's latest one (S2)."""
    cluster = scene.cluster
    scene.leader.kill()
    scene.leader.report()

    def taken() -> Member | None:
        leader = cluster.leader()
        return leader if leader is not scene.leader else None

    half = eventually("a new holder", taken, cluster.ttl + 10, every=0.01)
    cluster.cut_api(half)  # while its hook sleeps: it is promoted, and cannot say so
    promoted = "select not pg_is_in_recovery()"
    eventually("a promotion", lambda: cluster.database.ask(half.address, promoted) == [(True,)], cluster.ttl + 10)
    half.kill()
    half.report()
    assert cluster.objects.address() is None
    leader = eventually("a writable leader", cluster.writable, cluster.ttl + 15)
    assert cluster.timeline(leader) == 3
    scene.witness.wrote(leader)
    cluster.mend_api(half)
    scene.leader.start()
    half.start()
    scene.witness.verdict(leader, 90)


def test_a_rewind_that_another_failover_overtakes_ends_in_a_replica(scene: Scene) -> None:
    """A real PGO's member never came back from this: rewound to timeline 7 while the next failover made 8."""
    cluster, old = scene.cluster, scene.leader
    diverge(scene, old)
    second = scene.another()
    eventually("a candidate", lambda: len(cluster.candidates()) == 1, 30)
    old.start()
    frozen = caught_at(old, "pg_rewind")
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    second.kill()
    second.report()
    third = scene.another(second)
    old.thaw(frozen)
    second.start()
    assert third is not old
    scene.witness.verdict(third, 90)
