"""What a person asks for with `pgherd`, on real PostgreSQL: switchover, restart, reinitialise, and what is refused."""

from __future__ import annotations

import time
from functools import partial

from tests.ha.harness.clients import Ack, Writer, longest_gap
from tests.ha.harness.cluster import Cluster
from tests.ha.harness.member import Member
from tests.ha.harness.wait import eventually
from tests.ha.test_failover import check_one_primary_at_a_time, check_rejoined, rows


def since(writer: Writer, began: float) -> list[Ack]:
    return [ack for ack in writer.acks if ack.sent > began]


def other(cluster: Cluster, leader: Member) -> Member:
    return next(member for member in cluster.members.values() if member is not leader)


def test_a_switchover_under_load_loses_nothing(
    running: Cluster,
    leader: Member,
    writers: dict[str, Writer],
) -> None:
    """To a named member, then back to whoever is best; clients write all the time."""
    target = other(running, leader)
    for old, new, words in (
        (leader, target, ("--candidate", target.name)),
        (target, None, ()),
    ):
        began = time.monotonic()
        done = old.command("switchover", "--force", *words)
        assert done.returncode == 0, done.stdout + done.stderr + running.describe()
        print(f"switchover: command {time.monotonic() - began:.2f} s: {done.stdout.strip()}")
        now = eventually("a writable leader", running.writable, 10)
        assert now is new if new else now is not old
        new_acks = partial(since, writers[now.name], began)
        eventually("a write on it", new_acks, 5)
        check_one_primary_at_a_time(writers[old.name].acks, new_acks())
        check_rejoined(running, now)
    acks = [ack for writer in writers.values() for ack in writer.acks]
    print(f"switchover: longest gap {longest_gap(acks):.2f} s")
    last = eventually("a writable leader", running.writable, 10)
    assert not {ack.row for ack in acks} - rows(running, last)
    assert [entry["reason"]["code"] for entry in running.objects.history()] == ["handover", "handover"]


def test_a_restart_and_a_reinitialise_end_in_a_streaming_cluster(
    running: Cluster,
    leader: Member,
    writers: dict[str, Writer],
) -> None:
    postmasters = {name: member.postmaster() for name, member in running.members.items()}
    done = leader.command("restart", "--force")
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(member.postmaster() != postmasters[name] for name, member in running.members.items())
    assert running.leader() is leader
    check_rejoined(running, leader)
    replica = other(running, leader)
    done = leader.command("reinit", "--force", replica.name)
    assert done.returncode == 0, done.stdout + done.stderr
    check_rejoined(running, leader)
    eventually("both replicas are candidates again", lambda: len(running.candidates()) == 2, 20)
    assert not {ack.row for ack in writers[leader.name].acks} - rows(running, leader)


def test_what_cannot_work_is_refused_and_nothing_stops(running: Cluster, leader: Member) -> None:
    before = leader.postmaster()
    for words, text in (
        (("switchover", "--candidate", "nobody"), "must be one of"),
        (("switchover", "--candidate", leader.name), "it is the leader already"),
        (("switchover", "--leader", other(running, leader).name), "leads"),
        (("reinit", leader.name), "it is the leader"),
        (("failover", "--candidate", other(running, leader).name, "--leader-is-dead", "--id", "A"), "id="),
    ):
        done = leader.command(words[0], "--force", *words[1:])
        assert done.returncode == 1 and text in done.stderr, (words, done.stdout, done.stderr)
    done = leader.command("switchover")
    assert done.returncode == 2 and "--force" in done.stderr
    assert leader.postmaster() == before and running.objects.annotations()["transitions"] == "1"
