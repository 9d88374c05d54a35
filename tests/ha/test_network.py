"""Networks that are cut: the API alone, the members alone, both; and the API away for everybody.

Where the old primary may go on (its members are there to promise that they wait, or nobody took its place) and where
it must stop, the verdict is the same: writable in time, never two, nothing lost unadmitted, all stream at the end.
"""

from __future__ import annotations

import time

import pytest

from tests.ha.harness.verdict import Scene, settled
from tests.ha.harness.wait import SLACK, UNNOTICED, eventually


@pytest.mark.long
def test_a_primary_that_loses_the_api_is_replaced_or_goes_on(scene: Scene) -> None:
    cluster, witness = scene.cluster, scene.witness
    cluster.cut_api(scene.leader)
    time.sleep(2 * cluster.ttl)  # the fault lasts this long, whatever becomes of it
    leader = eventually("a writable leader", cluster.writable, 30)
    witness.wrote(leader)
    assert witness.gap <= cluster.ttl + SLACK
    cluster.mend_api(scene.leader)
    witness.verdict(leader)


@pytest.mark.long
def test_a_primary_that_loses_the_others_goes_on(scene: Scene) -> None:
    cluster, witness = scene.cluster, scene.witness
    cluster.sever(scene.leader)
    time.sleep(2 * cluster.ttl)
    assert cluster.writable() is scene.leader
    assert witness.gap < UNNOTICED, "the API says that it leads: nothing is to be done"
    cluster.rejoin(scene.leader)
    assert witness.verdict(scene.leader) == []


def test_a_primary_that_loses_api_and_others_stops_before_it_is_replaced(scene: Scene) -> None:
    """Clients reach it all the time: it is the fence that keeps them from two primaries (S1, S4)."""
    cluster, witness = scene.cluster, scene.witness
    cluster.cut_api(scene.leader)
    cluster.sever(scene.leader)
    new = scene.another()
    old, began = witness.writers[scene.leader.name].acks[-1].done, witness.writers[new.name].acks[0].sent
    assert began - old > 0.5, "dead for the margin before anybody may take the lease"
    assert witness.gap <= cluster.ttl + SLACK
    cluster.mend_api(scene.leader)
    cluster.rejoin(scene.leader)
    witness.verdict(new)


@pytest.mark.long
def test_an_api_that_is_away_for_everybody_costs_no_row(scene: Scene) -> None:
    cluster, witness = scene.cluster, scene.witness
    cluster.cut_api(*cluster.members.values())
    time.sleep(6 * cluster.ttl)
    cluster.mend_api(*cluster.members.values())
    leader = eventually("a writable leader", cluster.writable, cluster.ttl + 12)
    witness.wrote(leader, 10, 20)
    assert witness.gap <= 6 * cluster.ttl + 2 * SLACK, "writable again soon after the API is"
    settled(cluster, leader, 60)
    assert witness.verdict(leader) == []
