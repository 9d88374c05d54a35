"""Tags in a real cluster: who never leads, and who streams from another standby."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.ha.harness.cluster import Cluster
from tests.ha.harness.wait import eventually

START = 60.0


@pytest.fixture
def tagged(cluster: Cluster) -> Cluster:
    """The second member never leads, the third streams from it."""
    _, second, third = cluster.names
    tags: dict[str, Any] = {second: {"nofailover": True}, third: {"replicatefrom": second}}
    for member in cluster.members.values():
        path = member.folder / "pgherd.yaml"
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"tags": tags}))
    cluster.start()
    return cluster


def test_who_never_leads_does_not_and_who_is_told_streams_from_another_standby(tagged: Cluster) -> None:
    first, second, third = (tagged.members[name] for name in tagged.names)
    leader = eventually("a writable leader", tagged.writable, START)
    assert leader is not second
    eventually("two streaming replicas", lambda: len(tagged.streaming()) == 2, START)
    if leader is first:
        slot = third.name.replace("-", "_")
        query = f"select active from pg_replication_slots where slot_name = '{slot}'"
        eventually("it streams from the second", lambda: tagged.database.ask(second.address, query) == [(True,)], START)
        eventually("no slot on the leader", lambda: tagged.database.ask(first.address, query) == [], 15)
    assert second.name not in tagged.candidates()

    tagged.vanish(leader)
    leader.report()  # the kubelet's word: no recorded candidate is left to take it without
    new = eventually("a new leader", lambda: tagged.writable(leader), tagged.ttl + 20)
    assert new not in (leader, second)
    eventually("the second follows it", lambda: second.name in tagged.streaming(), START)
