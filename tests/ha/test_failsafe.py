"""The API server is away for six ttl: what clients notice, with and without everybody's promise."""

from __future__ import annotations

import itertools
import json
import ssl
import time
import urllib.request

import pytest

from tests.ha.harness.clients import Ack, Writer
from tests.ha.harness.cluster import Cluster
from tests.ha.harness.member import Member
from tests.ha.harness.net import inside
from tests.ha.harness.wait import UNNOTICED, eventually

"""Seconds between two acknowledged writes that a busy machine may cause by itself."""


def said(cluster: Cluster, member: Member) -> dict[str, object]:
    """The member's own words over its REST API."""
    context = ssl.create_default_context(cafile=str(cluster.folder / "ca.crt"))
    context.check_hostname = False

    def ask() -> dict[str, object]:
        with urllib.request.urlopen(f"https://{member.address}:8008/member", timeout=3, context=context) as answer:
            return dict(json.loads(answer.read()))

    return inside(cluster.network.hub, ask)


def gap(acks: list[Ack], since: float) -> float:
    times = [ack.done for ack in acks if ack.done >= since]
    assert times, "no write at all"
    return max((b - a for a, b in itertools.pairwise([since, *times])), default=0.0)


def outlives(cluster: Cluster, leader: Member, writers: dict[str, Writer], silent: bool, length: float) -> None:
    """So many seconds without the API: no gap, and the same epoch afterwards."""
    epoch, began = cluster.objects.annotations()["transitions"], time.monotonic()
    cluster.lose_api(silent)
    eventually("the leader says so", lambda: said(cluster, leader)["code"] == "failsafe", 2 * cluster.ttl)
    while time.monotonic() < began + length:
        time.sleep(0.5)
        words = said(cluster, leader)
        assert (words["role"], words["failsafe"]) == ("primary", True)
        # Its last proof of health may be a moment old, of which it speaks first.
        eventually("it says why", lambda: said(cluster, leader)["code"] == "failsafe", UNNOTICED)
    renewed = cluster.objects.annotations()["renewTime"]
    cluster.restore_api()
    eventually("a renewal", lambda: cluster.objects.annotations()["renewTime"] > renewed, 15)
    eventually("the leader is content", lambda: said(cluster, leader)["code"] == "primary", 30)
    time.sleep(cluster.ttl)
    longest = gap(writers[leader.name].acks, began)
    print(f"API away for {length:g} s: longest gap {longest:.2f} s")
    assert longest < UNNOTICED
    assert cluster.objects.annotations()["transitions"] == epoch
    assert cluster.leader() is leader
    assert all(not writer.acks for name, writer in writers.items() if name != leader.name)


@pytest.mark.parametrize(
    ("silent", "ttls"), [(True, 6), pytest.param(False, 3, marks=pytest.mark.long)], ids=["it hangs", "it is gone"]
)
def test_everybody_promises_and_nobody_notices(
    running: Cluster, leader: Member, writers: dict[str, Writer], silent: bool, ttls: int
) -> None:
    outlives(running, leader, writers, silent, ttls * running.ttl)


def test_a_replica_that_died_before_is_not_asked(running: Cluster, leader: Member, writers: dict[str, Writer]) -> None:
    dead = next(member for member in running.members.values() if member is not leader)
    running.vanish(dead)
    eventually("it is no candidate any more", lambda: dead.name not in running.candidates(), 30)
    time.sleep(0.5)  # and the leader has read that it is so
    outlives(running, leader, writers, True, 6 * running.ttl)


def test_without_one_promise_the_primary_stops_before_its_lease_ends(
    running: Cluster, leader: Member, writers: dict[str, Writer]
) -> None:
    one = next(member for member in running.members.values() if member is not leader)
    running.lose_api()
    eventually("the leader lives on promises", lambda: said(running, leader)["code"] == "failsafe", 2 * running.ttl)
    time.sleep(running.ttl)
    running.isolate(one)
    cut = time.monotonic()
    eventually("PostgreSQL has stopped", lambda: said(running, leader)["role"] != "primary", running.ttl + 3)
    last = writers[leader.name].acks[-1].done
    print(f"a candidate was cut off: the last write was acknowledged {last - cut:.2f} s later")
    # The last complete round began before the cut; its promises end ttl later, the deadline a margin before that.
    assert last - cut < running.ttl - 0.5
    time.sleep(running.ttl)
    assert all(not writer.acks for name, writer in writers.items() if name != leader.name)
    assert writers[leader.name].acks[-1].done == last
    running.connect(one)
    running.restore_api()
    new = eventually("a writable leader", running.writable, 4 * running.ttl + 20)
    eventually("a write on it", lambda: writers[new.name].acks and writers[new.name].acks[-1].done > last, 30)
    others = [ack for name, writer in writers.items() if name != leader.name for ack in writer.acks]
    assert all(ack.done > last for ack in others), "two primaries"


def test_nobody_takes_from_a_leader_that_lost_the_api_alone(
    running: Cluster, leader: Member, writers: dict[str, Writer]
) -> None:
    epoch, began = running.objects.annotations()["transitions"], time.monotonic()
    running.forwarders.cut(leader.namespace)
    eventually("the leader lives on promises", lambda: said(running, leader)["code"] == "failsafe", 2 * running.ttl)
    time.sleep(2 * running.ttl)
    assert running.objects.annotations()["transitions"] == epoch
    assert gap(writers[leader.name].acks, began) < UNNOTICED
    running.forwarders.mend(leader.namespace)
    eventually("the leader is content", lambda: said(running, leader)["code"] == "primary", 20)
    assert running.objects.annotations()["transitions"] == epoch
