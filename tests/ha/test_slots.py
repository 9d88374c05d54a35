"""Replication slots through a failover: nobody's WAL is missing afterwards, and a logical consumer misses nothing."""

from __future__ import annotations

import json
import re

import pytest

from tests.ha.harness.cluster import Cluster
from tests.ha.harness.installed import ensure
from tests.ha.harness.member import Member
from tests.ha.harness.wait import eventually

SLOT = {"type": "logical", "database": "demo", "plugin": "test_decoding"}
PATIENCE = 60.0
NATIVE = ensure() >= 17
"""PostgreSQL synchronises logical slots by itself."""


def names(member: Member) -> set[str]:
    return {row[0] for row in member.sql("select slot_name from pg_replication_slots")}


def others(cluster: Cluster, member: Member) -> set[str]:
    return {name.replace("-", "_") for name in cluster.names if name != member.name}


def proved(member: Member) -> bool:
    """Whether a promotion would offer it: the member's own record says so, from 17 on PostgreSQL."""
    if NATIVE:
        query = "select synced and not temporary from pg_replication_slots where slot_name = 'cdc'"
        return member.sql(query) == [["t"]]
    file = member.folder / "pgdata/pgherd/slots.json"
    return file.exists() and "cdc" in json.loads(file.read_text())["ready"]


def consume(member: Member) -> list[int]:
    """The rows that the slot's consumer gets, in order; confirmed by getting them."""
    rows = member.sql("select data from pg_logical_slot_get_changes('cdc', null, null)", "demo")
    return [int(found[1]) for row in rows if (found := re.search(r'INSERT: "?row"?\[bigint\]:(\d+)', row[0]))]


def insert(member: Member, *rows: int) -> None:
    for row in rows:
        member.sql(f"insert into demo.written values ({row})", "demo")


def caught_up(cluster: Cluster, leader: Member) -> None:
    [[end]] = leader.sql("select pg_current_wal_flush_lsn()")
    for member in cluster.members.values():
        if member is not leader:
            query = f"select pg_last_wal_replay_lsn() >= '{end}'::pg_lsn"
            eventually(f"{member.name} has all", lambda member=member, query=query: member.sql(query) == [["t"]], 30)


def test_every_member_keeps_a_slot_for_every_other_one(running: Cluster) -> None:
    for member in running.members.values():
        wanted = others(running, member)
        eventually(f"slots of {member.name}", lambda member=member, wanted=wanted: names(member) == wanted, 20)
    leader = running.leader()
    assert leader is not None
    leader.sql("select pg_create_physical_replication_slot('theirs')")
    leader.sql("create table t as select generate_series(1, 20000) as n; checkpoint")
    caught_up(running, leader)
    [[end]] = leader.sql("select pg_current_wal_flush_lsn()")
    for member in running.members.values():
        query = f"select count(*) from pg_replication_slots where restart_lsn >= '{end}'::pg_lsn"
        eventually(
            f"{member.name}'s are near the end", lambda member=member, query=query: member.sql(query) == [["2"]], 20
        )
    assert "theirs" in names(leader), "a user's slot was dropped"


def test_a_logical_slot_survives_a_failover_without_a_lost_change(running: Cluster) -> None:
    leader = running.leader()
    assert leader is not None
    with running.database.session(leader.address) as session:
        session.execute("create table written (row bigint primary key)")
    running.configure(slots={"cdc": SLOT})
    eventually("the slot on the primary", lambda: "cdc" in names(leader), 20, every=0.02)
    standbys = [member for member in running.members.values() if member is not leader]
    for member in standbys:
        eventually(f"{member.name}'s copy is proved", lambda member=member: proved(member), PATIENCE)
        restarts = member.log.read_text().count('"slot-restart"')
        assert restarts == (0 if NATIVE else 1), "one restart for one slot"
    insert(leader, *range(2, 30))
    first = consume(leader)
    assert first == list(range(2, 30))
    insert(leader, *range(30, 50))  # not consumed yet
    caught_up(running, leader)
    running.vanish(leader)
    new = eventually("a new leader", lambda: running.writable(leader), running.ttl + 15)
    assert "cdc" in names(new)
    insert(new, 50, 51)
    second = consume(new)
    assert second == sorted(set(second)), "in order, none twice"
    assert set(second) >= set(range(30, 52)), "a change was lost"
    repeated = set(second) & set(first)
    print(f"repeated: {len(repeated)} changes that were confirmed within the last pass")

    third = next(member for member in standbys if member is not new)
    eventually(f"{third.name}'s copy is proved against the new primary", lambda: proved(third), PATIENCE)
    running.come_back(leader)
    eventually("the old primary has a copy again", lambda: proved(leader), PATIENCE)
    insert(new, 60)
    assert consume(new) == [60]


def test_a_copy_knows_the_transactions_that_ran_where_it_begins(running: Cluster) -> None:
    """Without the snapshot of its restart_lsn a copy would leave out what was open when the copy began to be one."""
    leader = running.leader()
    assert leader is not None
    gone, alone = (member for member in running.members.values() if member is not leader)
    with running.database.session(leader.address) as session:
        session.execute("create table written (row bigint primary key)")
    running.vanish(gone)  # so that nobody copies the slot yet
    running.configure(slots={"cdc": SLOT})
    eventually("the slot on the primary", lambda: "cdc" in names(leader), 20)
    position = "select restart_lsn from pg_replication_slots where slot_name = 'cdc'"
    before = leader.sql(position)
    with running.database.session(leader.address) as one, running.database.session(leader.address) as two:
        one.execute("begin; insert into written values (1)")
        leader.sql("checkpoint")  # a record of the running transactions, and with the next line a snapshot there
        assert consume(leader) == []
        two.execute("begin; insert into written values (2)")
        one.execute("commit")
        leader.sql("checkpoint")
        assert consume(leader) == [1]
        leader.sql("checkpoint")
        consume(leader)
        assert leader.sql(position) != before, "the slot begins where the first transaction ran"
        running.come_back(gone)
        for member in (gone, alone):
            eventually(f"{member.name}'s copy is proved", lambda member=member: proved(member), PATIENCE)
        two.execute("commit")
    caught_up(running, leader)
    running.vanish(leader)
    new = eventually("a new leader", lambda: running.writable(leader), running.ttl + 15)
    assert consume(new) == [2]


@pytest.mark.long
def test_a_slot_that_no_standby_has_is_lost_and_not_made_anew(running: Cluster) -> None:
    """A slot made anew would look as if nothing had happened, and its consumer would miss changes."""
    leader = running.leader()
    assert leader is not None
    gone, alone = (member for member in running.members.values() if member is not leader)
    running.vanish(gone)  # nobody else could be promoted now, so the last standby does not restart for a slot
    eventually("the lock names one candidate", lambda: running.candidates() == {alone.name}, 20)
    running.configure(slots={"cdc": SLOT})
    eventually("the slot in the lock", lambda: "cdc" in running.objects.annotations()["slots"], 20)
    running.vanish(leader)
    new = eventually("a new leader", lambda: running.writable(leader), running.ttl + 15)
    assert new is alone
    if NATIVE:  # PostgreSQL needs no restart for it, so it is not lost
        assert "cdc" in names(new)
        return
    eventually("it says so", lambda: "slot cdc: lost" in new.log.read_text(), 20)
    assert "cdc" not in names(new)
    running.configure(slots={})
    eventually("the lock forgets it", lambda: "cdc" not in running.objects.annotations()["slots"], 20)
    running.configure(slots={"cdc": SLOT})
    eventually("it is made again", lambda: "cdc" in names(new), 20)
