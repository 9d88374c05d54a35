"""A server that is not dead and not well: frozen, out of connections, out of space; a member that stood still."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import psycopg
import pytest

from tests.ha.harness.cluster import Cluster
from tests.ha.harness.member import Member
from tests.ha.harness.verdict import Scene, after_thaw
from tests.ha.harness.volume import Volume
from tests.ha.harness.wait import SLACK, UNNOTICED, eventually


def test_a_frozen_postgresql_is_killed_and_another_writes(scene: Scene) -> None:
    """The agent lives and renews nothing that it cannot prove; a frozen server could thaw at any moment (S4).

    Once the lease has ended its member is one of all, and may be the first to take it: nobody has more WAL.
    """
    cluster, witness, old = scene.cluster, scene.witness, scene.leader
    frozen = old.freeze("postgres")
    assert old.postmaster() in frozen
    eventually("killed as they were", lambda: not set(frozen) & set(old.processes()), cluster.ttl + 12)
    new = eventually("a writable leader", cluster.writable, cluster.ttl + 12)
    witness.wrote(new)
    assert witness.gap <= cluster.ttl + SLACK
    assert int(cluster.objects.annotations()["transitions"]) > 1
    assert old.agent()
    witness.verdict(new)


@pytest.mark.long
def test_a_server_without_a_free_connection_is_no_dead_one(scene: Scene) -> None:
    cluster, witness = scene.cluster, scene.witness
    taken = []
    with pytest.raises(psycopg.OperationalError, match=r"too many|remaining connection slots"):
        while len(taken) < 500:
            taken.append(cluster.database.session(scene.leader.address))
    try:
        time.sleep(3 * cluster.ttl)
        assert cluster.leader() is scene.leader
        assert cluster.objects.annotations()["transitions"] == "1"
        assert witness.gap < UNNOTICED, "who is connected goes on writing"
    finally:
        for session in taken:
            session.close()
    assert witness.verdict(scene.leader) == []


@pytest.mark.long
def test_a_member_that_stood_still_wakes_up_as_a_replica(scene: Scene) -> None:
    """Fence included, past its deadline: what it may still do until its fence has run is the one exception of S1."""
    cluster, witness, old = scene.cluster, scene.witness, scene.leader
    frozen = old.freeze()
    try:
        new = scene.another()
        assert witness.gap <= cluster.ttl + SLACK
    finally:
        thawed = time.monotonic()
        old.thaw(frozen)
    eventually("its old PostgreSQL is dead", lambda: not set(old.running("postgres:")) & set(frozen), 30)
    late = after_thaw(witness.writers[old.name].acks, thawed, cluster.timeline(new))
    print(f"{len(late)} rows acknowledged between the thaw and the kill")
    witness.writers[old.name].acks = [ack for ack in witness.writers[old.name].acks if ack not in late]
    witness.verdict(new)


@pytest.fixture
def volumes(cluster: Cluster) -> Iterator[Mapping[str, Volume]]:
    """Every member's volume, of limited size: whoever initialises has one."""
    made = {name: Volume(member.folder / "pgdata", 400) for name, member in cluster.members.items()}
    yield made
    for volume in made.values():
        volume.answer()
    for member in cluster.members.values():
        member.kill()
    for volume in made.values():
        volume.unmount()


@pytest.mark.long
def test_a_volume_that_hangs_is_failed_over(volumes: Mapping[str, Volume], scene: Scene) -> None:
    """PostgreSQL cannot even be killed while it waits for the storage: it ends before it could acknowledge more."""
    cluster, witness, old = scene.cluster, scene.witness, scene.leader
    agent = old.agent()
    volumes[old.name].hang()
    try:
        new = scene.another()
        assert witness.gap <= cluster.ttl + SLACK
        assert old.agent() == agent, "the agent does not wait for the storage"
    finally:
        volumes[old.name].answer()
    witness.verdict(new)


@pytest.mark.long
def test_a_full_volume_is_reported_and_recovers(volumes: Mapping[str, Volume], scene: Scene) -> None:
    """No crash loop of the agent, no second primary; well again when there is space again."""
    cluster, witness, old, volume = scene.cluster, scene.witness, scene.leader, volumes[scene.leader.name]
    agent = old.agent()
    volume.fill()
    with pytest.raises(psycopg.Error):
        fill_up(cluster, old.address)
    eventually("the full volume is reported", lambda: "volume-full" in reasons(cluster), 30)
    new = eventually("a leader that takes rows", lambda: takes_rows(cluster), 60)
    assert new is not old
    time.sleep(2 * cluster.ttl)
    assert old.agent() == agent, "the agent lives with it"
    volume.empty()
    witness.wrote(new)
    assert witness.verdict(new, 120) == []


def fill_up(cluster: Cluster, address: str) -> None:
    with cluster.database.session(address) as session:
        session.execute("create table filler (x text)")
        for _ in range(1000):
            session.execute("insert into filler select repeat(md5(i::text), 200) from generate_series(1, 1000) as i")


def reasons(cluster: Cluster) -> str:
    """What the members' logs say."""
    return "".join(member.log.read_text(errors="replace") for member in cluster.members.values())


def takes_rows(cluster: Cluster) -> Member | None:
    leader = cluster.writable()
    if leader is not None:
        with cluster.database.session(leader.address) as session:
            session.execute("create table if not exists taken (x text)")
            session.execute("insert into taken select repeat('x', 10000) from generate_series(1, 100)")
    return leader
