"""What a user must notice of each fault, and what must never happen: no acknowledged row lost, no two primaries.

Asynchronous replication may lose what was not sent when the old primary died; the receipt says how much.
"""

from __future__ import annotations

import itertools
import time

import pytest

from tests.ha.harness.clients import Ack, Writer
from tests.ha.harness.cluster import Cluster
from tests.ha.harness.member import Member
from tests.ha.harness.verdict import unadmitted
from tests.ha.harness.wait import SLACK, START, UNNOTICED, eventually

REJOIN = 40.0


def rows(cluster: Cluster, member: Member) -> set[int]:
    return {int(str(row[0])) for row in cluster.database.ask(member.address, "select row from written")}


def check_one_primary_at_a_time(old: list[Ack], new: list[Ack]) -> None:
    """Invariant S1, as clients see it."""
    assert old and new
    assert old[-1].done < new[0].sent or old[-1].done < new[0].done, "both accepted writes"


def check_rejoined(cluster: Cluster, leader: Member) -> None:
    """Every other member streams from the leader, on its timeline."""
    eventually("all others stream", lambda: len(cluster.streaming()) == len(cluster.members) - 1, REJOIN)
    timeline = cluster.timeline(leader)
    for name, member in cluster.members.items():
        if member is not leader:
            query = "select received_tli from pg_stat_wal_receiver"
            eventually(
                f"{name} on timeline {timeline}",
                lambda member=member, query=query: (
                    cluster.database.ask(member.address, query)[0][0] in (timeline, None)
                ),
                REJOIN,
            )


def test_three_empty_members_become_a_cluster(cluster: Cluster) -> None:
    began = time.monotonic()
    cluster.start()
    leader = cluster.wait_ready(START)
    print(f"cold start: {time.monotonic() - began:.1f} s")
    annotations = cluster.objects.annotations()
    assert annotations["transitions"] == "1"
    assert {"acquireTime", "leader", "optime", "renewTime", "ttl", "slots", "retain_slots"} <= annotations.keys()
    others = {name.replace("-", "_") for name in cluster.names if name != leader.name}
    eventually("every replica's slot in the lock", lambda: slots(cluster) == others, 30)
    for name in cluster.names:
        wanted = "primary" if name == leader.name else "replica"
        eventually(f"label of {name}", lambda name=name, wanted=wanted: cluster.objects.role(name) == wanted, 30)
    assert cluster.objects.history() == []


def slots(cluster: Cluster) -> set[str]:
    import json

    return set(json.loads(cluster.objects.annotations().get("slots", "{}")))


def test_an_idle_cluster_writes_the_lock_only_to_renew_it(running: Cluster) -> None:
    eventually("slots", lambda: len(slots(running)) == 2, 30)
    time.sleep(2)  # what follows a start has settled
    loop_wait = float(running.configuration["loop_wait"])
    seen, began = set(), time.monotonic()
    while time.monotonic() < began + 6 * loop_wait:
        metadata = running.objects.lock().metadata
        assert metadata is not None
        seen.add(metadata.resourceVersion)
        time.sleep(0.1)
    assert len(seen) <= (time.monotonic() - began) / loop_wait + 2


@pytest.mark.parametrize("cluster", [{"lock": "endpoints"}, {"lock": "endpointslice"}], indirect=True)
def test_a_silent_node_is_failed_over_after_ttl(running: Cluster, leader: Member, writers: dict[str, Writer]) -> None:
    began = time.monotonic()
    running.vanish(leader)
    new = eventually("a new leader", lambda: running.writable(leader), running.ttl + 10)
    eventually("a write on it", lambda: writers[new.name].acks, 30)
    gap = writers[new.name].acks[0].done - writers[leader.name].acks[-1].done
    print(f"silent node: gap {gap:.2f} s with ttl {running.ttl:g} ({time.monotonic() - began:.2f} s)")
    assert gap >= running.ttl - running.configuration["loop_wait"] - 1  # nobody took it early: silence proves nothing
    assert gap <= running.ttl + SLACK
    assert running.timeline(new) == 2
    check_one_primary_at_a_time(writers[leader.name].acks, writers[new.name].acks)
    [receipt] = eventually("a receipt", running.objects.history, 30)
    assert (receipt["from"]["member"], receipt["to"]["member"]) == (leader.name, new.name)
    assert receipt["detected"] <= receipt["lease"] <= receipt["promoted"] <= receipt["first_write"]
    running.come_back(leader)
    check_rejoined(running, new)
    lost = {ack.row for ack in writers[leader.name].acks} - rows(running, new)
    print(f"silent node: {len(lost)} rows of {len(writers[leader.name].acks)} lost")
    assert not {ack.row for ack in writers[new.name].acks} - rows(running, new)


def test_sigterm_hands_over_without_loss(running: Cluster, leader: Member, writers: dict[str, Writer]) -> None:
    assert leader.terminate() == 0
    new = eventually("a new leader", lambda: running.writable(leader), 30)
    eventually("a write on it", lambda: writers[new.name].acks, 30)
    gap = writers[new.name].acks[0].done - writers[leader.name].acks[-1].done
    print(f"SIGTERM: gap {gap:.2f} s")
    assert gap < running.ttl  # handed over, not waited out
    check_one_primary_at_a_time(writers[leader.name].acks, writers[new.name].acks)
    assert not {ack.row for ack in writers[leader.name].acks} - rows(running, new)
    leader.start()
    check_rejoined(running, new)


def test_a_killed_postmaster_is_restarted_in_place(
    running: Cluster, leader: Member, writers: dict[str, Writer]
) -> None:
    before = len(writers[leader.name].acks)
    leader.kill_postmaster()
    eventually("writes again", lambda: len(writers[leader.name].acks) > before + 50, 15)
    times = [ack.done for ack in writers[leader.name].acks]
    print(f"postmaster killed: gap {max(b - a for a, b in itertools.pairwise(times)):.2f} s")
    assert running.leader() is leader
    assert running.timeline(leader) == 1
    assert not {ack.row for ack in writers[leader.name].acks} - rows(running, leader)


@pytest.mark.parametrize("cluster", [{"ttl": 10}], indirect=True)
def test_a_killed_agent_costs_no_write(running: Cluster, leader: Member, writers: dict[str, Writer]) -> None:
    # Its lease must last until the next agent has started, on a busy machine too.
    pid, postmaster = leader.agent(), leader.postmaster()
    leader.kill_agent()
    eventually("another agent", lambda: leader.agent() != pid, 30)
    before = running.objects.annotations()["renewTime"]
    eventually("a renewal by it", lambda: running.objects.annotations()["renewTime"] > before, 30)
    assert running.leader() is leader
    assert running.objects.annotations()["transitions"] == "1"
    times = [ack.done for ack in writers[leader.name].acks]
    assert max(b - a for a, b in itertools.pairwise(times)) < UNNOTICED
    assert leader.postmaster() == postmaster


def test_a_frozen_agent_is_fenced_before_its_lease_ends(
    running: Cluster, leader: Member, writers: dict[str, Writer]
) -> None:
    frozen = leader.freeze_agent()
    new = eventually("a new leader", lambda: running.writable(leader), running.ttl + 10)
    eventually("a write on it", lambda: writers[new.name].acks, 30)
    check_one_primary_at_a_time(writers[leader.name].acks, writers[new.name].acks)
    gap = writers[new.name].acks[0].done - writers[leader.name].acks[-1].done
    print(f"frozen agent: gap {gap:.2f} s with ttl {running.ttl:g}")
    assert gap > 0.5  # dead for the whole margin before anybody may take the lease
    eventually("the frozen agent is replaced", lambda: leader.agent() != frozen, 15)
    check_rejoined(running, new)
    lost = {ack.row for ack in writers[leader.name].acks} - rows(running, new)
    late = [ack for ack in writers[leader.name].acks if ack.row in lost]
    assert unadmitted(late, running.objects.history()) == []


def test_a_killed_container_is_taken_back_in_place(
    running: Cluster, leader: Member, writers: dict[str, Writer]
) -> None:
    before = len(writers[leader.name].acks)
    leader.kill()
    leader.report()
    leader.start()
    eventually("writes again", lambda: any_new(writers, leader, before), running.ttl + 10)
    holder = eventually("a writable leader", running.writable, 30)
    assert int(running.objects.annotations()["transitions"]) >= 2
    acks = {ack.row for ack in writers[leader.name].acks}
    if holder is leader:
        assert not acks - rows(running, holder)
    check_rejoined(running, holder)


def any_new(writers: dict[str, Writer], leader: Member, before: int) -> bool:
    others = any(writer.acks for name, writer in writers.items() if name != leader.name)
    return others or len(writers[leader.name].acks) > before + 10


@pytest.mark.parametrize("cluster", [{"lock": "endpoints"}, {"lock": "endpointslice"}], indirect=True)
def test_renewals_leave_the_route_alone_and_a_lost_one_is_made_again(running: Cluster, leader: Member) -> None:
    """kube-proxy writes its rules again for every change of a Service's slice, and rests a second after that."""
    locks = running.objects.locks
    version = locks.route().metadata.resourceVersion
    for _ in range(2):
        renewed = running.objects.annotations()["renewTime"]
        eventually("a renewal", lambda was=renewed: running.objects.annotations()["renewTime"] > was, 20)
    assert (locks.route().metadata.resourceVersion, locks.routed()) == (version, [leader.address])
    locks.delete_route()
    eventually("the route again", lambda: locks.routed() == [leader.address], 20)
    locks.send_clients("192.0.2.1")
    eventually("the route is mended", lambda: locks.routed() == [leader.address], 20)


def test_a_failover_changes_the_route_once(running: Cluster, leader: Member) -> None:
    seen: list[list[str]] = [running.objects.locks.routed()]
    leader.kill()
    leader.report()

    def moved() -> Member | None:
        found, now = running.writable(leader), running.objects.locks.routed()
        if now != seen[-1]:
            seen.append(now)
        return found

    new = eventually("a new leader", moved, running.ttl + 10, every=0.01)
    # Emptied in between only where the promotion takes longer than decide.route.UNPUBLISHED.
    assert [at for at in seen if at] == [[leader.address], [new.address]]
    leader.start()
    check_rejoined(running, new)
    assert running.objects.locks.routed() == [new.address]


@pytest.mark.parametrize("cluster", [{"lock": "endpoints"}, {"lock": "endpointslice"}], indirect=True)
def test_a_deleted_lock_object_costs_no_failover(running: Cluster, leader: Member, writers: dict[str, Writer]) -> None:
    before = len(writers[leader.name].acks)
    postmaster = leader.postmaster()
    running.objects.locks.delete_lock()
    eventually("the lock again", lambda: running.objects.annotations()["transitions"] == "2", running.ttl)
    eventually("writes", lambda: len(writers[leader.name].acks) > before + 100, 15)
    assert running.leader() is leader and running.timeline(leader) == 1
    times = [ack.done for ack in writers[leader.name].acks]
    print(f"lock deleted: gap {max(b - a for a, b in itertools.pairwise(times)):.2f} s")
    assert max(b - a for a, b in itertools.pairwise(times)) < UNNOTICED
    assert leader.postmaster() == postmaster
    eventually("its candidates", lambda: len(running.candidates()) == 2, 30)
    assert not any(writer.acks for name, writer in writers.items() if name != leader.name)
    assert running.objects.history() == []


def test_a_lock_that_is_lost_with_its_holder_waits_for_everybodys_word(
    running: Cluster, leader: Member, writers: dict[str, Writer]
) -> None:
    running.vanish(leader)
    running.objects.locks.delete_lock()
    running.objects.locks.create_lock(running.ttl)  # a play that knows nothing of the past
    time.sleep(2 * running.ttl)
    assert running.objects.annotations()["transitions"] == "0"  # its holder may know of a newer one, and be alive
    running.come_back(leader)
    new = eventually("a writable leader", running.writable, running.ttl + 20)
    assert int(running.objects.annotations()["transitions"]) >= 3  # restored, then taken
    eventually("a write on it", lambda: writers[new.name].acks[-1].sent > leader_ended(writers, leader, new), 30)
    if new is not leader:
        check_one_primary_at_a_time(writers[leader.name].acks, writers[new.name].acks)
    check_rejoined(running, new)


def leader_ended(writers: dict[str, Writer], leader: Member, new: Member) -> float:
    return 0.0 if new is leader else writers[leader.name].acks[-1].done
