"""What a person asks for with `pgherd`, on real PostgreSQL: switchover, restart, reinitialise, and what is refused."""

from __future__ import annotations

import time

from tests.ha.harness.member import Member
from tests.ha.harness.verdict import Scene, settled
from tests.ha.harness.wait import eventually


def ask(member: Member, *words: str) -> None:
    """`pgherd <words> --force` in the member's pod; it must be done."""
    began = time.monotonic()
    done = member.command(words[0], "--force", *words[1:])
    assert done.returncode == 0, done.stdout + done.stderr
    print(f"{time.monotonic() - began:.2f} s: {done.stdout.strip()}")


def test_a_switchover_under_load_loses_nothing(scene: Scene) -> None:
    """To a named member, then by Patroni's annotations to whoever is best; clients write all the time."""
    target = scene.others[0]
    ask(scene.leader, "switchover", "--candidate", target.name)
    assert scene.another() is target
    settled(scene.cluster, target, 40)
    scene.cluster.objects.trigger(leader=target.name)
    last = scene.another(target)
    eventually("the annotations are used up", lambda: not scene.cluster.objects.triggers(), 30)
    eventually("two receipts", lambda: len(scene.cluster.objects.history()) == 2, 30)
    assert scene.witness.verdict(last) == []
    assert [entry["reason"]["code"] for entry in scene.cluster.objects.history()] == ["handover", "handover"]


def test_a_restart_and_a_reinitialise_end_in_a_streaming_cluster(scene: Scene) -> None:
    members = scene.cluster.members.values()
    postmasters = {member.name: member.postmaster() for member in members}
    ask(scene.leader, "restart")
    assert all(member.postmaster() != postmasters[member.name] for member in members)
    assert scene.cluster.leader() is scene.leader
    settled(scene.cluster, scene.leader, 40)
    ask(scene.leader, "reinit", scene.others[0].name)
    assert scene.witness.verdict(scene.leader) == []


def test_what_cannot_work_is_refused_and_nothing_stops(scene: Scene) -> None:
    before, other = scene.leader.postmaster(), scene.others[0].name
    for words, text in (
        (("switchover", "--candidate", "nobody"), "must be one of"),
        (("switchover", "--candidate", scene.leader.name), "it is the leader already"),
        (("switchover", "--leader", other), "leads"),
        (("reinit", scene.leader.name), "it is the leader"),
        (("failover", "--candidate", other, "--leader-is-dead", "--id", "A"), "id="),
    ):
        done = scene.leader.command(words[0], "--force", *words[1:])
        assert done.returncode == 1 and text in done.stderr, (words, done.stdout, done.stderr)
    done = scene.leader.command("switchover")
    assert done.returncode == 2 and "--force" in done.stderr
    assert scene.leader.postmaster() == before
    assert scene.cluster.objects.annotations()["transitions"] == "1"
