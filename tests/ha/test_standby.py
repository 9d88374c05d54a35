"""Standby clusters on real PostgreSQL: a copy of a remote primary, followed, failed over, promoted and demoted; and an
archive that hangs holds nothing up.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ha.harness.clients import Writer
from tests.ha.harness.cluster import Cluster
from tests.ha.harness.member import Member
from tests.ha.harness.remote import RemotePrimary
from tests.ha.harness.wait import eventually

LONG = 90.0
"""Seconds for what takes a few on a quiet machine."""


@pytest.fixture
def remote(cluster: Cluster) -> Iterator[RemotePrimary]:
    made = RemotePrimary(cluster)
    try:
        made.start()
        made.populate()
        yield made
    finally:
        made.stop()


def holder(cluster: Cluster) -> dict[str, object]:
    found: dict[str, object] = json.loads(cluster.objects.annotations().get("holder") or "{}")
    return found


def standby_leader(cluster: Cluster, other_than: Member | None = None) -> Member | None:
    """Who is published as one, is in recovery, and gets WAL from the remote primary."""
    leader = cluster.leader()
    if leader is None or leader is other_than or cluster.objects.address() != leader.address:
        return None
    if not holder(cluster).get("standby"):
        return None
    rows = leader.sql("select pg_is_in_recovery(), current_setting('primary_conninfo') like '%standby/%'")
    return leader if rows == [["t", "t"]] else None


def ready(cluster: Cluster, replicas: int = 2) -> Member:
    leader = eventually("a standby leader", lambda: standby_leader(cluster), LONG)
    eventually(f"{replicas} candidates", lambda: len(cluster.candidates()) >= replicas, LONG)
    return leader


def rows_of(cluster: Cluster, member: Member) -> set[int]:
    return {int(str(row[0])) for row in cluster.database.ask(member.address, "select row from written")}


def arrives(cluster: Cluster, row: int, *members: Member) -> None:
    for member in members:
        eventually(f"row {row} on {member.name}", lambda member=member: row in rows_of(cluster, member), LONG)


def shown(member: Member) -> dict[str, str]:
    """Member -> role, as `pgherd list` says."""
    done = member.command("list", "-f", "json")
    assert done.returncode == 0, done.stderr
    return {row["member"]: row["role"] for row in json.loads(done.stdout)["members"]}


def test_a_standby_cluster_follows_fails_over_is_promoted_and_demoted(cluster: Cluster, remote: RemotePrimary) -> None:
    remote.write(1)
    cluster.configure(standby_cluster=remote.words())
    cluster.start()
    first = ready(cluster)
    remote.write(2)
    arrives(cluster, 2, *cluster.members.values())
    assert shown(first)[first.name] == "standby_leader"
    assert (
        remote.sql("select system_identifier from pg_control_system()")
        in first.sql("select system_identifier::text from pg_control_system()")[0]
    )

    # Another member goes on when it is gone.
    cluster.vanish(first)
    second = eventually("another standby leader", lambda: standby_leader(cluster, first), LONG)
    remote.write(3)
    others = [member for member in cluster.members.values() if member is not first]
    arrives(cluster, 3, *others)
    cluster.come_back(first)
    arrives(cluster, 3, first)
    assert remote.sql("select count(*) from pg_stat_replication") == "1"

    # Promoted: a timeline of its own, and a receipt; the remote primary goes its own way.
    eventually("2 candidates", lambda: len(cluster.candidates()) >= 2, LONG)
    cluster.configure(standby_cluster=None)
    leader = eventually("a primary", cluster.writable, LONG)
    assert leader is second and cluster.timeline(leader) == 2
    cluster.database.ask(leader.address, "insert into written values (4) returning 1")
    eventually("2 streaming replicas", lambda: len(cluster.streaming()) >= 2, LONG)
    receipts = eventually("a receipt", lambda: codes(cluster, "promote-cluster"), LONG)
    assert receipts[-1]["to"]["timeline"] == 2 and receipts[-1]["first_write"]
    remote.write(100)

    # Demoted: what it wrote meanwhile is kept aside, and it follows again.
    cluster.configure(standby_cluster=remote.words())
    again = ready(cluster)
    remote.write(101)
    arrives(cluster, 101, *cluster.members.values())
    assert 4 not in rows_of(cluster, again)
    eventually("the demotion's receipt", lambda: codes(cluster, "demoted"), LONG)
    aside = [
        path for member in cluster.members.values() for path in (member.folder / "pgdata/pgherd/divergent").glob("*")
    ]
    assert aside, "the divergent WAL is gone"


def codes(cluster: Cluster, code: str) -> list[dict[str, dict[str, object]]]:
    return [entry for entry in cluster.objects.history() if entry["reason"]["code"] == code]


def test_an_archive_alone_is_followed_and_does_not_hold_up_a_promotion(cluster: Cluster, remote: RemotePrimary) -> None:
    hang = cluster.folder / "hang"
    fetch = f"while test -e {hang}; do sleep 1; done; cp {remote.archive}/%f %p"
    cluster.configure(standby_cluster=remote.words())
    cluster.start()
    ready(cluster)
    cluster.configure(standby_cluster={"restore_command": fetch})
    leader = eventually("a standby leader without a host", lambda: from_archive(cluster), LONG)
    remote.write(5)
    remote.archive_now()
    arrives(cluster, 5, *cluster.members.values())
    remote.stop()
    hang.touch()
    eventually("a fetch that hangs", lambda: leader.running("postgres/fetch.py"), LONG)
    cluster.configure(standby_cluster=None)
    assert eventually("a primary", cluster.writable, LONG) is leader
    assert rows_of(cluster, leader) == {5}
    assert not leader.running("postgres/fetch.py")
    eventually("2 streaming replicas", lambda: len(cluster.streaming()) >= 2, LONG)


def from_archive(cluster: Cluster) -> Member | None:
    leader = cluster.leader()
    if leader is None or not holder(cluster).get("standby"):
        return None
    sql = "select current_setting('primary_conninfo') = '' and current_setting('restore_command') <> ''"
    return leader if leader.sql(sql) == [["t"]] else None


def test_a_repository_that_dies_with_the_primary_holds_up_nobody(cluster: Cluster, tmp_path: Path) -> None:
    """An ordinary cluster whose archive hangs from the moment on at which its primary's node is gone."""
    hang = cluster.folder / "hang"
    cluster.configure(
        postgresql={"parameters": {"restore_command": f"while test -e {hang}; do sleep 1; done; false %f %p"}}
    )
    cluster.start()
    leader = cluster.wait_ready(LONG)
    with cluster.database.session(leader.address) as session:
        session.execute("create table written (row bigint primary key)")
    writer = Writer(cluster.database, leader.address)
    writer.start(0)
    eventually("rows", lambda: len(writer.acks) > 20, LONG)
    hang.touch()
    cluster.vanish(leader)
    writer.stop()
    new = eventually("another primary", lambda: cluster.writable(leader), LONG)
    cluster.database.ask(new.address, "insert into written values (-1) returning 1")
    eventually("the other standby streams", lambda: len(cluster.streaming() - {leader.name}) >= 1, LONG)
    cluster.come_back(leader)
    eventually("both stream", lambda: len(cluster.streaming()) >= 2, LONG)
