"""Parameters and rules of a running cluster: no order of restarts leaves a standby stuck, no mistake counts."""

from __future__ import annotations

from tests.ha.harness.cluster import Cluster
from tests.ha.harness.member import Member
from tests.ha.harness.wait import eventually

PATIENCE = 30.0
SETTING = "max_connections"
STREAMS = "select count(*) from pg_stat_wal_receiver where status = 'streaming'"


def leader_of(cluster: Cluster) -> Member:
    return eventually("a writable leader", cluster.writable, PATIENCE)


def standbys(cluster: Cluster, leader: Member) -> list[Member]:
    return [member for member in cluster.members.values() if member is not leader]


def value(member: Member, name: str = SETTING) -> str:
    return member.sql(f"show {name}")[0][0]


def pending(member: Member) -> str:
    return member.sql("select coalesce(string_agg(name, ','), '') from pg_settings where pending_restart")[0][0]


def restart(cluster: Cluster, member: Member, expected: str) -> None:
    """PostgreSQL only; the agent starts it again."""
    before = member.sql("select pg_postmaster_start_time()")
    member.kill_postmaster()
    query = "select pg_postmaster_start_time()"
    eventually(f"{member.name} runs again", lambda: member.sql(query) != before, PATIENCE)
    eventually(f"{member.name} has {expected}", lambda: value(member) == expected, PATIENCE)
    leader = leader_of(cluster)
    for standby in standbys(cluster, leader):
        eventually(f"{standby.name} streams", lambda standby=standby: standby.sql(STREAMS) == [["1"]], PATIENCE)
    leader.sql("create table if not exists probe (n int); insert into probe values (1)")
    [[end]] = leader.sql("select pg_current_wal_flush_lsn()")
    for standby in standbys(cluster, leader):
        replays = f"select pg_last_wal_replay_lsn() >= '{end}'"
        eventually(
            f"{standby.name} replays", lambda standby=standby, replays=replays: standby.sql(replays) == [["t"]], 20
        )


def configure(cluster: Cluster, connections: int) -> None:
    cluster.configure(postgresql={"parameters": {SETTING: connections}})
    for member in cluster.members.values():
        eventually(f"{member.name} waits for a restart", lambda member=member: pending(member) == SETTING, 20)


def test_connections_are_shrunk_and_raised_in_any_order(running: Cluster) -> None:
    leader = leader_of(running)
    first, second = standbys(running, leader)

    configure(running, 60)
    restart(running, first, "100")  # its WAL demands what the primary runs with
    eventually("it waits for its primary", lambda: pending(first) == SETTING, 20)
    restart(running, leader, "60")
    restart(running, first, "60")
    restart(running, second, "60")
    eventually("nothing waits", lambda: {pending(member) for member in running.members.values()} == {""}, 20)

    configure(running, 130)
    restart(running, leader, "60")  # its standbys run with less than what is configured
    restart(running, first, "130")
    restart(running, leader, "60")
    restart(running, second, "130")
    restart(running, leader, "130")
    eventually("nothing waits", lambda: {pending(member) for member in running.members.values()} == {""}, 20)


def test_a_standby_that_was_left_behind_restarts_by_itself(running: Cluster) -> None:
    leader = leader_of(running)
    away, other = standbys(running, leader)
    configure(running, 130)
    restart(running, other, "130")
    index = running.names.index(away.name)
    running.network.cut(index)  # nobody hears of what it runs with
    before = away.sql("select pg_postmaster_start_time()")
    eventually("it is no candidate", lambda: running.candidates() == {other.name}, 20)
    leader.kill_postmaster()
    eventually("the primary was raised", lambda: value(leader) == "130", PATIENCE)
    running.network.mend(index)
    eventually("it was restarted", lambda: away.sql("select pg_postmaster_start_time()") != before, PATIENCE)
    assert value(away) == "130"
    assert '"parameters-restart"' in away.log.read_text()
    eventually("all stream", lambda: len(running.streaming()) == 2, PATIENCE)


def refused(member: Member) -> str:
    lines = [line for line in member.log.read_text().splitlines() if '"code":"reload"' in line]
    return lines[-1] if lines else ""


def test_a_mistake_is_reported_and_changes_nothing(running: Cluster) -> None:
    leader = leader_of(running)
    good = {"parameters": {"work_mem": "5MB"}, "pg_hba": ["hostssl demo demo all scram-sha-256"]}
    running.configure(postgresql=good)
    for member in running.members.values():
        eventually(f"{member.name} has it", lambda member=member: value(member, "work_mem") == "5MB", 20)
    for wrong, named in [
        ({"pg_hba": ["hostssl demo demo all scram", "nonsense"]}, "scram"),
        ({"pg_hba": [*good["pg_hba"], "host all all 10.0.0.0/99 trust"]}, "10.0.0.0/99"),
        ({"pg_ident": ['m "/(" demo']}, "pg_ident"),
        ({"parameters": {"work_mem": "lots", "max_connektions": 5}}, "max_connektions"),
        ({"parameters": {"work_mem": "lots", "jit": "maybe"}}, "work_mem"),
        ({"parameters": {"max_connections": 3}}, "reserved"),
    ]:
        running.configure(postgresql={**good, **wrong})
        for member in running.members.values():
            eventually(f"{member.name} refuses", lambda member=member, named=named: named in refused(member), 20)
            assert value(member, "work_mem") == "5MB"
            assert member.sql("select count(*) from pg_hba_file_rules where error is not null") == [["0"]]
        assert running.database.ask(leader.address, "select 1") == [(1,)]
    leader.kill_postmaster()  # with the mistake still configured
    new = eventually("a writable leader", running.writable, PATIENCE)
    assert value(new, "work_mem") == "5MB"
    assert running.database.ask(new.address, "select 1") == [(1,)]
    running.configure(postgresql={**good, "parameters": {"work_mem": "6MB"}})
    for member in running.members.values():
        eventually(f"{member.name} has it", lambda member=member: value(member, "work_mem") == "6MB", 20)


def test_parameters_with_which_postgresql_does_not_start_are_given_up(running: Cluster) -> None:
    """What only a start can tell: the parameters before come back, and the server with them."""
    leader = leader_of(running)
    running.configure(postgresql={"parameters": {"shared_preload_libraries": "no_such_library"}})
    eventually("it waits for a restart", lambda: pending(leader) == "shared_preload_libraries", 20)
    standby = standbys(running, leader)[0]
    for member in (standby, leader):
        before = member.sql("select pg_postmaster_start_time()")
        member.kill_postmaster()
        query = "select pg_postmaster_start_time()"
        eventually(f"{member.name} runs again", lambda member=member, b=before, q=query: member.sql(q) != b, PATIENCE)
        assert value(member, "shared_preload_libraries") == ""
    eventually("a writable leader", running.writable, PATIENCE)
