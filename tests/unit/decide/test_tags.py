"""Tags in elections, copies and streams: who never leads, who rather, and whom a standby takes its WAL from."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.decide.test_election import empty, expired, takes
from tests.unit.decide.views import NOW, leader_view, lease, observing, peer, standby, status, stopped, view

from pgherd.decide import compare, decide, succession, upstream
from pgherd.model.actions import Clone, Follow, PollPeers, Start
from pgherd.model.lease import Candidate
from pgherd.model.position import Position
from pgherd.model.server import Server
from pgherd.model.synchronous import Standby, Synchronous
from pgherd.model.view import Failure, TaskKind, View

NEVER = ({"nofailover": "true"}, {"failover_priority": "0"})
STREAMS = {"streaming_from": "m0", "receiver_timeline": 2}
M0 = peer("m0", status("m0"))


# Elections


@pytest.mark.parametrize("own", NEVER)
def test_a_member_that_never_leads_does_not_take(own: dict[str, str]) -> None:
    decision = decide(expired(tags={"m1": own}), NOW)
    assert takes(decision) is None and decision.reason.code == "not-eligible"


@pytest.mark.parametrize("own", NEVER)
def test_its_own_lease_it_takes_back(own: dict[str, str]) -> None:
    """A restart in place is no failover."""
    mine = view(
        knowledge=observing(lease(leader="m1")), predecessor_held=True, server=stopped(was_primary=True), peers=(),
        tags={"m1": own},
    )  # fmt: skip
    assert takes(decide(mine, NOW)) is not None


@pytest.mark.parametrize("theirs", NEVER)
def test_a_better_member_that_never_leads_is_not_waited_for(theirs: dict[str, str]) -> None:
    ahead = status("m2", position=Position(2, 9000), tags=theirs)
    write = takes(decide(expired(peers=(peer("m0", None), peer("m2", ahead))), NOW))
    assert write is not None
    assert {loser.member: loser.why for loser in write.losers}["m2"].startswith("tag nofailover")


@pytest.mark.parametrize(
    ("own", "theirs", "position", "yields"),
    [
        ("1", "2", 5000, True),
        ("2", "1", 5000, False),
        ("1", "1", 5000, False),  # of equals the first name
        ("9", "1", 5001, True),  # WAL counts more
    ],
)
def test_priority_ranks_after_the_wal(own: str, theirs: str, position: int, yields: bool) -> None:
    other = status("m2", position=Position(2, position), tags={"failover_priority": theirs})
    seen = expired(peers=(peer("m0", None), peer("m2", other)), tags={"m1": {"failover_priority": own}})
    decision = decide(seen, NOW)
    assert (decision.reason.code == "yielding") is yields


@pytest.mark.parametrize("theirs", NEVER)
def test_a_member_that_never_leads_is_no_candidate_and_no_successor(theirs: dict[str, str]) -> None:
    words = status("m2", tags=theirs, streaming_from="m1", receiver_timeline=2)
    seen = leader_view(peers=(peer("m2", words),))
    record = seen.knowledge.record
    assert record is not None and compare.candidates(seen, record) == ()
    recorded = lease(leader="m1", candidates=(Candidate("m2", "i2"),))
    assert succession.successor(seen, recorded) is None
    free = status("m2", streaming_from="m1", receiver_timeline=2)
    assert succession.successor(leader_view(peers=(peer("m2", free),)), recorded) == "m2"


def test_the_lease_goes_to_the_successor_with_the_greater_priority() -> None:
    recorded = lease(leader="m1", candidates=(Candidate("m0", "i0"), Candidate("m2", "i2")))
    rather = status("m0", role="replica", tags={"failover_priority": "5"})
    assert succession.successor(leader_view(peers=(peer("m0", rather), peer("m2", status("m2")))), recorded) == "m0"


def test_a_new_cluster_is_not_initialised_where_nobody_may_lead() -> None:
    none = {"has_data": False, "position": None, "role": "none"}
    words = (peer("m0", status("m0", **none)), peer("m2", status("m2", **none)))
    decision = decide(empty(words, tags={"m1": {"nofailover": "true"}}), NOW)
    assert takes(decision) is None and decision.reason.code == "not-eligible"


# Copies


@pytest.mark.parametrize(
    ("words", "changes", "source"),
    [
        ({}, {}, "m2"),
        ({"tags": {}}, {}, "m0"),
        ({"streaming_from": None}, {}, "m0"),
        ({"receiver_timeline": 1}, {}, "m0"),
        ({"terminating": True}, {}, "m0"),
        ({"system_identifier": "other"}, {}, "m0"),
        ({}, {"failures": (Failure(TaskKind.CLONE, "m2", 2, NOW - 90, "refused"),)}, "m0"),
        ({}, {"failures": (Failure(TaskKind.CLONE, "m2", 1, NOW - 90, "another timeline's"),)}, "m2"),
    ],
)
def test_a_copy_comes_from_a_member_with_clonefrom_that_streams(words: Any, changes: Any, source: str) -> None:
    tagged = status("m2", **{**STREAMS, "tags": {"clonefrom": "true"}, **words})
    seen = view(server=Server(), peers=(M0, peer("m2", tagged)), **changes)
    assert decide(seen, NOW).actions == (Clone(source),)


# Streams


def cascaded(words: Any, tags: Any = None, **changes: Any) -> View:
    """m1 is told to stream from m2."""
    tags = tags or {"m1": {"replicatefrom": "m2"}}
    return view(**{"peers": (M0, peer("m2", status("m2", **{**STREAMS, **words}))), "tags": tags, **changes})


@pytest.mark.parametrize(
    ("words", "source"),
    [
        ({}, "m2"),
        ({"streaming_from": None}, "m0"),
        ({"receiver_timeline": 1}, "m0"),
        ({"role": "none"}, "m0"),
        ({"terminating": True}, "m0"),
        ({"streaming_from": "m1"}, "m0"),  # it streams from here: that would be a circle
        ({"system_identifier": "other"}, "m0"),
    ],
)
def test_a_cascaded_member_follows_its_source_while_that_streams(words: Any, source: str) -> None:
    seen = cascaded(words, server=standby(following="elsewhere", streaming=False))
    assert decide(seen, NOW).actions == (Follow(source),)
    assert decide(cascaded(words, server=stopped()), NOW).actions == (Start(writable=False, source=source),)


def test_a_member_for_whom_commits_wait_stays_with_the_leader() -> None:
    """Gone, it would stop every commit where no other can take its place (synchronous_mode_strict)."""
    for members, source in (((Standby("m1", "i1"),), "m0"), ((Standby("m2", "i2"),), "m2")):
        sync = Synchronous("on", Standby("m0", "i0"), members, 1)
        known = observing(lease(sync=sync), NOW - 4)
        seen = cascaded({}, knowledge=known, server=standby(following="elsewhere", streaming=False))
        assert decide(seen, NOW).actions == (Follow(source),)


@pytest.mark.parametrize(
    ("wishes", "source", "leaves"),
    [
        ({"m0": "m2"}, "m1", True),
        ({"m0": "m2"}, None, False),
        ({"m0": "m2"}, "m0", False),  # it streams from who would follow it
        ({"m0": "m2", "m2": "m0"}, "m1", False),  # the first of a circle
        ({"m0": "m1"}, "m1", False),
    ],
)
def test_the_leader_knows_who_will_stream_from_another_standby(
    wishes: dict[str, str], source: str | None, leaves: bool
) -> None:
    """m1 leads. Who is thought to leave takes no part in a quorum (S3)."""
    tags = {member: {"replicatefrom": wish} for member, wish in wishes.items()}
    others = peer("m0", status("m0", role="replica")), peer("m2", status("m2", streaming_from=source))
    assert upstream.would_leave(view(peers=others, tags=tags), "m0") is leaves


def test_a_silent_source_is_left_for_the_leader() -> None:
    silent = view(peers=(M0, peer("m2", None)), tags={"m1": {"replicatefrom": "m2"}}, server=standby(following="m2"))
    assert decide(silent, NOW).actions == (Follow("m0"),)


def test_whose_source_stands_still_asks_at_once_what_became_of_it() -> None:
    seen = cascaded({}, server=standby(following="m2", streaming=False))
    assert decide(seen, NOW).actions == (PollPeers(),)


@pytest.mark.parametrize(
    ("wishes", "breaks"),
    [
        ({"m1": "m2"}, False),
        ({"m1": "m2", "m2": "m1"}, True),
        ({"m1": "m2", "m2": "m3", "m3": "m1"}, True),
        ({"m1": "m2", "m2": "m3", "m3": "m2"}, False),  # m2 breaks that one
        ({"m1": "m2", "m2": "m0", "m0": "m1"}, False),  # the leader follows nobody
    ],
)
def test_the_first_of_a_circle_streams_from_the_leader(wishes: dict[str, str], breaks: bool) -> None:
    tags = {member: {"replicatefrom": wish} for member, wish in wishes.items()}
    assert upstream.breaks_cycle(view(tags=tags), "m1", "m0") is breaks
    assert upstream.source(cascaded({}, tags), status("m0")) == ("m0" if breaks else "m2")


def test_a_cascaded_member_is_no_candidate() -> None:
    """S8: it does not stream from the holder itself."""
    words = status("m2", streaming_from="m0", receiver_timeline=2, tags={"replicatefrom": "m0"})
    seen = leader_view(peers=(peer("m2", words),))
    assert seen.knowledge.record is not None and compare.candidates(seen, seen.knowledge.record) == ()
