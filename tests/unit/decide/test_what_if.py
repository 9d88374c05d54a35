"""What the others would do without a member, by their own decisions."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.decide.views import SYSTEM, lease, pod, status

from pgherd.decide.what_if import Cluster, what_if
from pgherd.model.lease import Candidate
from pgherd.model.member import MemberStatus
from pgherd.model.position import Position
from pgherd.model.settings import Configuration
from pgherd.model.synchronous import Standby, Synchronous

STREAMS: dict[str, Any] = {"streaming_from": "m0", "receiver_timeline": 2}


def cluster(record: Any = None, **words: MemberStatus | None) -> Cluster:
    """m0 leads, m1 and m2 stream."""
    said = {"m0": status("m0"), "m1": status("m1", **STREAMS), "m2": status("m2", **STREAMS), **words}
    known = {name: each for name, each in said.items() if each is not None}
    return Cluster(record or lease(), Configuration(), SYSTEM, tuple(map(pod, ("m0", "m1", "m2"))), known)


def test_the_best_candidate_would_take_over() -> None:
    ahead = status("m2", position=Position(2, 5400), **STREAMS)
    found = what_if(cluster(lease(optime=5500), m2=ahead), "m0")
    assert (found.leader, found.within, found.timeline, found.at_risk) == ("m2", 10, 3, 100)
    assert [(each.member, each.why) for each in found.others] == [("m1", f"ranked behind: it has {Position(2, 5000)}")]


def test_of_equals_the_first_by_name() -> None:
    assert what_if(cluster(), "m0").leader == "m1"
    assert what_if(cluster(m1=None), "m0").leader == "m2"


def test_nobody_who_may_not() -> None:
    """Each says why: history, lag, tags, and data that was never recorded."""
    old = {"position": Position(1, 9000), **STREAMS}
    found = what_if(cluster(m1=status("m1", **old), m2=status("m2", tags={"nofailover": "true"}, **STREAMS)), "m0")
    assert found.leader is None and [each.member for each in found.others] == ["m1", "m2"]
    assert "S2" in found.others[0].why and "nofailover" in found.others[1].why
    unknown = what_if(cluster(lease(candidates=(Candidate("m9", "i9"),))), "m0")
    assert unknown.leader is None and "not a recorded candidate" in unknown.others[0].why


def test_a_paused_leader_is_not_replaced() -> None:
    assert "maintenance" in what_if(cluster(lease(pause=True)), "m0").text


@pytest.mark.parametrize(
    ("gone", "text"),
    [("m1", "m0 leads on; then m2 may take its place"), ("m2", "m0 leads on; then m1 may take its place")],
)
def test_without_a_replica_the_leader_leads_on(gone: str, text: str) -> None:
    found = what_if(cluster(), gone)
    assert (found.leader, found.text) == ("m0", text)


def test_synchronous_members_are_what_counts() -> None:
    sync = Synchronous("on", Standby("m0", "i0"), (Standby("m2", "i2"),), 1)
    record = msgspec.structs.replace(lease(), sync=sync)
    found = what_if(cluster(record), "m0")
    assert found.leader == "m2" and "S3" in found.others[0].why
    assert "commits wait" in what_if(cluster(record), "m2").text
