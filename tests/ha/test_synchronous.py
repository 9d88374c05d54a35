"""Synchronous replication on real PostgreSQL: no failure that the mode survives costs an acknowledged row (S3)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import pytest

from tests.ha.harness.clients import Writer
from tests.ha.harness.cluster import Cluster
from tests.ha.harness.member import Member
from tests.ha.harness.verdict import STEP
from tests.ha.harness.wait import START, eventually
from tests.ha.test_failover import check_rejoined, rows

WITHIN = 30.0
ON = {"synchronous_mode": True}


def members(cluster: Cluster) -> list[str] | None:
    """The lease's set; None while the mode is not recorded."""
    found = json.loads(cluster.objects.annotations().get("sync") or "null")
    return None if found is None else [each["member"] for each in found["members"]]


@pytest.fixture
def leader(cluster: Cluster) -> Member:
    cluster.start()
    found = cluster.wait_ready(START + WITHIN)
    with cluster.database.session(found.address) as session:
        session.execute("create table written (row bigint primary key)")
    return found


@pytest.fixture
def writers(cluster: Cluster, leader: Member) -> Iterator[dict[str, Writer]]:
    made = {name: Writer(cluster.database, member.address) for name, member in cluster.members.items()}
    for index, writer in enumerate(made.values()):
        writer.start(index * STEP)
    eventually("first rows", lambda: len(made[leader.name].acks) > 10, WITHIN)
    yield made
    for writer in made.values():
        writer.stop()


def rule(cluster: Cluster, leader: Member) -> str:
    [(shown,)] = cluster.database.ask(leader.address, "show synchronous_standby_names")
    return str(shown)


def gap(writer: Writer) -> float:
    return max((b.done - a.done for a, b in itertools.pairwise(writer.acks)), default=0.0)


@pytest.mark.parametrize("cluster", [ON], indirect=True)
def test_no_acknowledged_row_is_lost_with_the_primarys_node(
    cluster: Cluster, leader: Member, writers: dict[str, Writer]
) -> None:
    [standby] = eventually("a synchronous standby", lambda: members(cluster), WITHIN)
    count = len(writers[leader.name].acks)
    eventually("rows that it acknowledged", lambda: len(writers[leader.name].acks) > count + 100, WITHIN)
    cluster.vanish(leader)
    new = eventually("a new leader", lambda: cluster.writable(leader), cluster.ttl + WITHIN)
    eventually("a write on it", lambda: len(writers[new.name].acks) > 10, WITHIN)
    assert new.name == standby
    acks = {ack.row for ack in writers[leader.name].acks}
    lost = acks - rows(cluster, new)
    first = writers[new.name].acks[0].done - writers[leader.name].acks[-1].done
    print(f"synchronous, silent node: {len(lost)} rows of {len(acks)} lost, gap {first:.2f} s with ttl {cluster.ttl:g}")
    assert not lost
    [receipt] = eventually("a receipt", cluster.objects.history, WITHIN)
    assert receipt["at_risk_bytes"] == 0
    eventually("another synchronous standby", lambda: members(cluster) not in (None, []), WITHIN)
    cluster.come_back(leader)
    check_rejoined(cluster, new)


@pytest.mark.parametrize("cluster", [{"synchronous_mode": "quorum"}], indirect=True)
def test_a_quorum_loses_no_acknowledged_row_with_the_primarys_node(
    cluster: Cluster, leader: Member, writers: dict[str, Writer]
) -> None:
    """Either of two voters may have acknowledged: both are cut off and heard, and who has more takes over."""
    eventually("two voters", lambda: len(members(cluster) or ()) == 2, WITHIN)
    eventually("any one of them is waited for", lambda: rule(cluster, leader).startswith("ANY 1 ("), WITHIN)
    count = len(writers[leader.name].acks)
    eventually("rows that one of them acknowledged", lambda: len(writers[leader.name].acks) > count + 100, WITHIN)
    cluster.vanish(leader)
    new = eventually("a new leader", lambda: cluster.writable(leader), cluster.ttl + WITHIN)
    eventually("a write on it", lambda: len(writers[new.name].acks) > 10, WITHIN)
    acks = {ack.row for ack in writers[leader.name].acks}
    lost = acks - rows(cluster, new)
    first = writers[new.name].acks[0].done - writers[leader.name].acks[-1].done
    print(f"quorum, silent node: {len(lost)} rows of {len(acks)} lost, gap {first:.2f} s with ttl {cluster.ttl:g}")
    assert not lost
    eventually("a voter again", lambda: members(cluster) not in (None, []), WITHIN)
    cluster.come_back(leader)
    check_rejoined(cluster, new)


def test_the_mode_is_switched_while_clients_write(cluster: Cluster, leader: Member, writers: dict[str, Writer]) -> None:
    cluster.objects.configure(cluster.configuration | ON | {"synchronous_node_count": 2})
    eventually("two synchronous standbys", lambda: len(members(cluster) or ()) == 2, WITHIN)
    eventually("both are waited for", lambda: rule(cluster, leader).startswith("FIRST 2 ("), WITHIN)
    lost = next(member for member in cluster.members.values() if member is not leader)
    before = len(writers[leader.name].acks)
    lost.kill()
    eventually("it leaves the set", lambda: len(members(cluster) or ()) == 1, WITHIN)
    eventually("writes go on without it", lambda: len(writers[leader.name].acks) > before + 50, WITHIN)
    lost.report()
    lost.start()
    eventually("it is back in the set", lambda: len(members(cluster) or ()) == 2, WITHIN + START)
    shows = "show synchronous_standby_names"
    cluster.objects.configure(cluster.configuration | {"synchronous_mode": "quorum"})
    eventually("one of two", lambda: "ANY 1" in str(cluster.database.ask(leader.address, shows)), WITHIN)
    eventually("one vote", lambda: json.loads(cluster.objects.annotations()["sync"])["votes"] == 1, WITHIN)
    assert len(members(cluster) or ()) == 2
    cluster.objects.configure(cluster.configuration)
    eventually("the mode is off", lambda: members(cluster) is None, WITHIN)
    eventually(
        "no commit waits", lambda: cluster.database.ask(leader.address, shows) == [("",)], WITHIN
    )  # fmt: skip
    print(f"synchronous, switched and a standby killed: longest gap {gap(writers[leader.name]):.2f} s")
    assert not {ack.row for ack in writers[leader.name].acks} - rows(cluster, leader)


@pytest.mark.parametrize("cluster", [ON | {"synchronous_mode_strict": True}], indirect=True)
def test_strict_commits_wait_until_a_standby_is_back(
    cluster: Cluster, leader: Member, writers: dict[str, Writer]
) -> None:
    eventually("a synchronous standby", lambda: members(cluster), WITHIN)
    others = [member for member in cluster.members.values() if member is not leader]
    for member in others:
        member.kill()
    eventually("nobody streams", lambda: not cluster.streaming(), WITHIN)
    waiting = "select count(*) from pg_stat_activity where wait_event = 'SyncRep'"
    eventually("a commit waits", lambda: cluster.database.ask(leader.address, waiting)[0][0], WITHIN)
    acked = len(writers[leader.name].acks)
    others[0].report()
    others[0].start()
    eventually("writes again", lambda: len(writers[leader.name].acks) > acked + 20, WITHIN + START)
    eventually("it is published", lambda: members(cluster) == [others[0].name], WITHIN)
