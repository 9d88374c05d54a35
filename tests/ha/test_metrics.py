"""`/metrics` of real servers: every query is answered on primary and standby, and nobody waits for one that hangs."""

from __future__ import annotations

import json
import ssl
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from lightkube.resources.core_v1 import ConfigMap
from prometheus_client.parser import text_string_to_metric_families

from pgherd.postgres.measure.gather import KEEP, LIMIT
from pgherd.postgres.measure.queries import QUERIES
from tests.ha.fenced import CONFIGURATION, PATIENCE, Fenced, members
from tests.ha.harness.cluster import Cluster
from tests.ha.harness.member import Member
from tests.ha.harness.net import inside
from tests.ha.harness.wait import eventually

Values = dict[tuple[str, ...], float]
"""By name, then label values by the order of their names."""


@pytest.fixture(scope="module")
def pair() -> Iterator[list[Fenced]]:
    """A primary and a standby that streams, for the whole file."""
    with members(2, 25540) as made:
        first, second = made
        first.start()
        first.primary()
        second.start()
        second.do("clone", source=first.source, replace=False, configuration=CONFIGURATION)
        first.do("keep_slots", names=[second.name.replace("-", "_")])
        second.do("start", writable=False, source=first.source, configuration=CONFIGURATION)
        eventually("the standby streams", lambda: second.do("observe")["streaming"], PATIENCE)
        yield made


def statistics(member: Fenced) -> Values:
    """Of a round of its own: answers are shown again for KEEP seconds."""
    time.sleep(KEEP + 0.1)
    return {
        (
            each["family"]["name"].removeprefix("pgherd_").removeprefix("postgres_"),
            *(value for _, value in sorted(zip(each["family"]["labels"], each["labels"], strict=True))),
        ): each["value"]
        for each in member.do("statistics")
    }


def unanswered(values: Values) -> list[str]:
    return [query.name for query in QUERIES if values["query_success", query.name] != 1]


def test_every_query_is_answered_on_primary_and_standby(pair: list[Fenced]) -> None:
    primary, standby = pair
    with primary.connect() as client:
        client.execute("CREATE TABLE t (n int)")
        client.execute("BEGIN")
        client.execute("INSERT INTO t VALUES (1)")
        here = statistics(primary)
        assert here["connections", "idle in transaction"] == 1
        assert here["longest_transaction_seconds",] > 0 and here["longest_idle_in_transaction_seconds",] > 0
        client.execute("COMMIT")
    for member in pair:
        eventually(f"all queries of {member.name}", lambda member=member: not unanswered(statistics(member)), PATIENCE)
    here, there = statistics(primary), statistics(standby)
    for values in (here, there):
        assert values["scrape_success",] == 1 and values["connections_max",] == 20
        assert 0 < values["volume_free_bytes", "pgdata"] <= values["volume_size_bytes", "pgdata"]
        assert values["database_size_bytes", "postgres"] > 1 << 20 and values["frozen_transaction_age", "postgres"] >= 0
        assert abs(values["start_time_seconds",] - time.time()) < 600
        assert values["archive_ready_files",] >= 0 and values["wal_directory_bytes",] > 0
        assert values["fence_kills_total",] == 0
    assert here["wal_bytes_total",] > 0 and here["commits_total", "postgres"] > 0
    assert here["standby_streaming", standby.name] == 1 and here["standby_synchronous", standby.name] == 0
    assert here["standby_lag_bytes", "replayed", standby.name] >= 0
    slot = standby.name.replace("-", "_")
    assert here["slot_active", slot, "physical"] == 1 and here["slot_lost", slot, "physical"] == 0
    assert here["slot_retained_bytes", slot, "physical"] >= 0
    assert there["replay_paused",] == 0 and there["replay_lag_seconds",] >= 0 and ("replay_paused",) not in here
    assert there["conflicts_total", "snapshot"] == 0 and ("conflicts_total", "snapshot") not in here


def test_statistics_are_asked_for_with_no_more_rights_than_monitoring_needs(pair: list[Fenced]) -> None:
    primary, _ = pair
    primary.do("sql", sql="ALTER DATABASE postgres CONNECTION LIMIT 0")  # a superuser is not bound by it
    primary.do("sql", sql="CREATE FUNCTION public.pg_backend_pid() RETURNS int LANGUAGE sql AS 'SELECT 1/0'")
    primary.do("sql", sql="ALTER ROLE postgres SET search_path = public, pg_catalog")
    assert unanswered(statistics(primary)) == []


def test_a_frozen_postgresql_costs_a_scrape_seconds_and_the_agent_nothing(pair: list[Fenced]) -> None:
    primary, _ = pair
    statistics(primary)
    frozen = primary.freeze()
    assert frozen
    try:
        values = statistics(primary)
        assert values["scrape_success",] == 0 and unanswered(values)
        assert values["volume_free_bytes", "pgdata"] > 0, "what needs no PostgreSQL is there"
        time.sleep(LIMIT)
        began = time.monotonic()
        assert statistics(primary)["scrape_success",] == 0
        assert time.monotonic() - began < KEEP + LIMIT, "a later scrape does not wait for the round that hangs"
        assert primary.do("pid")
    finally:
        primary.thaw(frozen)
    eventually("it answers again", lambda: statistics(primary)["scrape_success",] == 1, 60)


def scrape(cluster: Cluster, member: Member) -> Values:
    """As Prometheus does it: GET over TLS, with the cluster's authority and no certificate of its own."""
    context = ssl.create_default_context(cafile=str(cluster.folder / "ca.crt"))
    context.check_hostname = False

    def ask() -> str:
        with urllib.request.urlopen(f"https://{member.address}:8008/metrics", timeout=30, context=context) as answer:
            return str(answer.read().decode())

    text = inside(cluster.network.hub, ask)
    return {
        (
            each.name,
            *(value for name, value in sorted(each.labels.items()) if name not in ("cluster", "member")),
        ): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


def stated(cluster: Cluster) -> dict[str, Any]:
    """What ConfigMap `<cluster>-status` says."""
    found = cluster.objects.client.get(ConfigMap, f"{cluster.objects.cluster}-status")
    return dict(json.loads((found.data or {}).get("status.json", "{}")) or {"primary": None})


def test_a_failover_is_counted_where_every_member_shows_it(running: Cluster, leader: Member) -> None:
    before = scrape(running, leader)
    assert before["pgherd_primary",] == before["pgherd_up",] == before["pgherd_postgres_scrape_success",] == 1
    assert before["pgherd_members_declared",] == 3 and before["pgherd_lease_writes_total", "renew", "confirmed"] > 0
    eventually("the status object", lambda: stated(running)["primary"] == leader.name, 90)
    running.vanish(leader)
    leader.report()
    new = eventually("a new leader", lambda: running.writable(leader), running.ttl + 20)
    rest = [member for member in running.members.values() if member is not leader]
    for member in rest:
        eventually(
            f"{member.name} counts it",
            lambda member=member: scrape(running, member)["pgherd_leader_changes_total", "failover"] == 1,
            30,
        )
    after = scrape(running, new)
    assert after["pgherd_tasks_total", "done", "promoting"] == 1 and after["pgherd_primary",] == 1
    assert after["pgherd_last_leader_change_duration_seconds",] >= 0
    assert abs(after["pgherd_last_leader_change_timestamp_seconds",] - time.time()) < 600
    eventually("the status object names it", lambda: stated(running)["primary"] == new.name, 90)
    other = next(member for member in rest if member is not new)
    eventually("the other one streams", lambda: scrape(running, other)["pgherd_streaming",] == 1, 60)
    assert scrape(running, other)["pgherd_lag_bytes",] >= 0
