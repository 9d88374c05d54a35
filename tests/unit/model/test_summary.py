"""What ConfigMap `<cluster>-status` says, and when it says something new."""

from __future__ import annotations

import json

import msgspec
from msgspec.structs import replace
from tests.unit.rest.stand_ins import LEASE, MB, PRIMARY, REPLICA

from pgherd.model.member import MemberStatus, Peer, Pod
from pgherd.model.parameters import Change
from pgherd.model.settings import Configuration, PostgresSettings, Settings
from pgherd.model.summary import Summary, read, set_of, since, summary

SETTINGS = Settings("demo", PostgresSettings(17, "/b", "/d", "/s"), ("demo-a-aaaa-0", "demo-a-bbbb-0", "demo-r-cccc-0"))
CONFIGURATION = Configuration()
OWN = replace(PRIMARY, member="demo-a-aaaa-0")
LED = replace(LEASE, leader="demo-a-aaaa-0")


def peer(name: str, status: MemberStatus | None) -> Peer:
    return Peer(Pod(name, f"uid-{name}"), status and replace(status, member=name))


STREAMS = replace(REPLICA, streaming_from="demo-a-aaaa-0")
ALL = (peer("demo-a-bbbb-0", STREAMS), peer("demo-r-cccc-0", STREAMS))


def made(peers: tuple[Peer, ...] = ALL, own: MemberStatus = OWN, now: str = "t1", **changes: object) -> Summary:
    configuration = replace(CONFIGURATION, **changes)
    return summary(SETTINGS, configuration, own, peers, LED, now)


def test_the_paths_are_those_of_pgo_where_it_has_them() -> None:
    body = json.loads(msgspec.json.encode(since(made(), None)))
    assert body["postgresVersion"] == 17 and body["patroni"] == {"systemIdentifier": OWN.system_identifier}
    assert body["instances"] == [
        {"name": "a", "replicas": 2, "readyReplicas": 2},
        {"name": "r", "replicas": 1, "readyReplicas": 1},
    ]
    assert set(body["conditions"][0]) == {"type", "status", "reason", "message", "lastTransitionTime"}
    assert (body["primary"], body["timeline"], body["epoch"]) == ("demo-a-aaaa-0", 2, 3)
    assert body["members"][1] == {
        "name": "demo-a-bbbb-0", "role": "replica", "state": "streaming", "timeline": 2, "lagBytes": MB,
        "pendingRestart": False,
    }  # fmt: skip


def test_members_that_do_not_answer_or_stream_are_named() -> None:
    found = made((peer("demo-a-bbbb-0", None), peer("demo-r-cccc-0", replace(STREAMS, streaming_from="other"))))
    conditions = {each.type: each for each in found.conditions}
    assert conditions["ReplicasStreaming"].status == "False"
    assert conditions["ReplicasStreaming"].message == "not streaming: demo-a-bbbb-0, demo-r-cccc-0"
    assert [each.ready_replicas for each in found.instances] == [1, 0]
    assert found.members[1].role == "unknown"


def test_conditions_follow_what_is_configured_and_seen() -> None:
    waits = replace(OWN, pending_restart={"max_connections": Change("1", "2")}, refused="work_mem: no")
    conditions = {each.type: each.status for each in made(own=waits, synchronous_mode="on").conditions}
    assert conditions == {
        "Ready": "True", "ReplicasStreaming": "True", "SynchronousStandbys": "False", "Paused": "False",
        "RestartPending": "True", "ConfigurationInForce": "False",
    }  # fmt: skip


def test_lag_alone_says_nothing_new() -> None:
    behind = replace(STREAMS, position=replace(STREAMS.position, lsn=MB))  # type: ignore[type-var]
    later = made((peer("demo-a-bbbb-0", behind), ALL[1]), now="t2")
    assert later != made() and later.said() == made().said()
    assert made((peer("demo-a-bbbb-0", None), ALL[1])).said() != made().said()


def test_a_transition_keeps_its_time_until_the_next_one() -> None:
    first = since(made(now="t1"), None)
    broken = since(made((peer("demo-a-bbbb-0", None), ALL[1]), now="t2"), read(msgspec.json.encode(first).decode()))
    times = {each.type: each.last_transition_time for each in broken.conditions}
    assert times["ReplicasStreaming"] == "t2" and times["Ready"] == "t1"


def test_what_nobody_wrote_is_no_summary() -> None:
    for text in (None, "", "{", "[]", '{"written": 5}'):
        assert read(text) is None


def test_the_set_of_a_member() -> None:
    assert set_of("demo", "demo-main-7k2p-0") == "main" and set_of("demo", "demo-east-1-7k2p-0") == "east-1"
