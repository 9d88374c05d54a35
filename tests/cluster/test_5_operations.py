"""What people ask of a running cluster through playbooks: done once, and foreseen in check mode."""

from __future__ import annotations

import re

from pgherd_lab.demo.cluster import settled
from tests.cluster.stage import Play, Stage, eventually

PSQL = ("psql", "-h", "/tmp/postgres", "-U", "postgres", "-d", "postgres", "-XAtqc")


def ran(play: Play, changed: int) -> str:
    assert play.code == 0 and play.changed == changed, play.text
    return play.text


def candidate(stage: Stage) -> str:
    """A member that may take over now."""
    annotations = stage.cluster.get("endpoints", "demo-ha")["metadata"]["annotations"]
    return re.findall(r'"member":"([^"]+)"', annotations["candidates"])[0]


def leader(stage: Stage) -> str:
    return str(stage.cluster.get("endpoints", "demo-ha")["metadata"]["annotations"]["leader"])


def test_a_switchover_is_foreseen_and_done_once(cluster: Stage) -> None:
    before, to = leader(cluster), candidate(cluster)
    wanted = ("-e", f"postgres_switchover_candidate={to}")
    said = ran(cluster.play("switchover", *wanted, "--check"), 1)
    assert f"{before} would hand over to {to}" in said and leader(cluster) == before
    said = ran(cluster.play("switchover", *wanted, "--diff"), 1)
    assert f"{to} is the leader" in said and f"+leader: {to}" in said and leader(cluster) == to
    assert f"{to} leads already" in ran(cluster.play("switchover", *wanted), 0)
    eventually("one leader and two streaming replicas", lambda: settled(cluster.cluster), 180)


def test_status_and_inventory_show_who_leads_and_how_far_the_others_are(cluster: Stage) -> None:
    at = leader(cluster)
    said = ran(cluster.play("status"), 0)
    assert f"Lock: leader {at}" in said and "Not as declared" not in said
    found = cluster.inventory()
    members = cluster.names_of_members()
    assert found["postgres_clusters"]["hosts"] == ["demo"] and set(found["postgres_members"]["hosts"]) == members
    assert found["role_primary"]["hosts"] == [at] and set(found["role_replica"]["hosts"]) == members - {at}
    facts = found["_meta"]["hostvars"]
    assert {facts[name]["pgherd_timeline"] for name in members} == {facts["demo"]["pgherd_timeline"]}
    assert all(isinstance(facts[name]["pgherd_lag"], int) for name in members - {at})
    assert {tuple(facts[name]["pgherd_pending_restart"]) for name in members} == {()}, "the agents' own word"


def test_the_agents_reason_is_the_plays(cluster: Stage) -> None:
    at = leader(cluster)
    play = cluster.play("reinitialize", "-e", f"postgres_reinitialize_member={at}")
    assert play.code != 0 and "it is the leader; switch over first" in play.text
    play = cluster.play("switchover", "-e", "postgres_switchover_candidate=demo-instance1-none-0")
    assert play.code != 0 and "is no member; must be one of" in play.text and leader(cluster) == at


def test_a_parameter_takes_effect_by_a_restart_of_those_that_wait_for_it(cluster: Stage) -> None:
    merge = '{"postgres_configuration_merge": {"postgresql": {"parameters": {"max_locks_per_transaction": %s}}}}'
    said = ran(cluster.play("configuration", "-e", merge % "96", "--diff"), 1)
    assert "+    max_locks_per_transaction: 96" in said
    ran(cluster.play("configuration", "-e", merge % "96"), 0)
    at = leader(cluster)
    said = ran(cluster.play("restart", "-e", "postgres_restart_only_pending=true"), 1)
    assert said.count("is done") == 3 and leader(cluster) == at
    shown = cluster.cluster.execute(at, *PSQL, "SHOW max_locks_per_transaction")
    assert shown.strip() == "96"
    ran(cluster.play("restart", "-e", "postgres_restart_only_pending=true"), 0)
    ran(cluster.play("configuration", "-e", merge % "null"), 1)


def test_a_replica_gets_a_new_copy(cluster: Stage) -> None:
    member = candidate(cluster)
    said = ran(cluster.play("reinitialize", "-e", f"postgres_reinitialize_member={member}"), 1)
    assert "is done" in said
    eventually("one leader and two streaming replicas", lambda: settled(cluster.cluster), 180)
