"""Which slots should exist on a member, what the lease says of them, and when a standby restarts for one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.decide.views import (
    NOW,
    holding,
    leader_view,
    lease,
    observing,
    peer,
    pod,
    primary,
    standby,
    status,
    view,
)

from pgherd.decide import decide, slots
from pgherd.model.actions import PollPeers, Require, Stop
from pgherd.model.lease import Lease
from pgherd.model.server import Process
from pgherd.model.settings import Configuration, PostgresConfiguration
from pgherd.model.slots import Matcher, Permanent, SlotOrders, SlotsSeen, SlotState, Wanted
from pgherd.model.view import Task, TaskKind, View

PRESENT = {"m0": NOW, "m1": NOW, "m2": NOW}
LOGICAL = Permanent("logical", "app", "pgoutput")


def ordered(found: View) -> SlotOrders:
    result = slots.orders(found, NOW)
    assert result is not None
    return result


def positions(found: View) -> dict[str, int]:
    return {slot.name: slot.position for slot in ordered(found).slots}


# Which slots should exist


def others(name: str) -> dict[str, float]:
    return {member: at for member, at in PRESENT.items() if member != name}


def test_a_primary_keeps_a_slot_for_every_other_member() -> None:
    found = ordered(leader_view(slots_present=others("m1")))
    assert (found.primary, [slot.name for slot in found.slots], found.own) == (True, ["m0", "m2"], "m1")
    assert found.members == ("m0", "m1", "m2"), "its own name is no slot that it keeps"


def test_a_standby_keeps_them_too_and_knows_how_far_each_is() -> None:
    record = lease(slots={"m1": 4000, "m2": 4500}, optime=5000)
    found = view(knowledge=observing(record), slots_present=others("m1"))
    assert positions(found) == {"m0": 5000, "m2": 4500}, "the leader's own slot counts from its optime"


def test_members_that_left_are_kept_for_their_time() -> None:
    found = leader_view(slots_present={"m0": NOW - 1799, "m2": NOW - 1800})
    assert positions(found) == {"m0": 0}
    assert ordered(found).members == ("m0", "m1", "m2"), "m2's slot is ours to drop"


def configured(**changes: Any) -> Configuration:
    return Configuration(slots={"cdc": LOGICAL, "store": None}, **changes)


@pytest.mark.parametrize("leads", [True, False])
def test_declared_slots_are_kept_by_everybody(leads: bool) -> None:
    base = leader_view if leads else view
    found = base(configuration=configured(ignore_slots=(Matcher(name="x"),)), slots_present={})
    assert ordered(found).slots == (
        Wanted("cdc", "logical", "app", "pgoutput"), Wanted("store", "physical"),
    )  # fmt: skip
    assert ordered(found).ignore == (Matcher(name="x"),)


@pytest.mark.parametrize(
    ("slot", "kept"),
    [
        (Permanent(), True),
        (Permanent(cluster_type="primary"), True),
        (Permanent(cluster_type="standby"), False),
    ],
)
def test_a_slot_of_a_standby_cluster_is_none_of_ours(slot: Permanent, kept: bool) -> None:
    assert ("s" in positions(view(configuration=Configuration(slots={"s": slot})))) is kept


def test_the_lease_tells_a_lost_logical_slot_from_a_new_one() -> None:
    record = lease(leader="m1", slots={"cdc": 3000, "store": 3000})
    found = leader_view(knowledge=holding(record), configuration=configured())
    known = {slot.name: slot.known for slot in ordered(found).slots}
    assert known == {"cdc": True, "store": False}, "a physical slot's consumer notices a gap by itself"


def test_without_slots_none_is_kept_and_members_ones_are_dropped() -> None:
    configuration = configured(postgresql=PostgresConfiguration(use_slots=False))
    found = ordered(leader_view(configuration=configuration, slots_present=PRESENT))
    assert (found.slots, found.members) == ((), ("m0", "m1", "m2"))


@pytest.mark.parametrize(
    "found",
    [
        view(server=standby(process=Process.STARTING)),
        view(server=standby(position=None)),
        view(task=Task(TaskKind.PROMOTE, NOW)),
        view(server=primary()),  # without the lease
        leader_view(server=primary(promoting=True)),
        leader_view(server=standby()),  # about to be promoted
        view(initialize="8000"),  # another cluster's data
    ],
)
def test_there_are_moments_at_which_no_slot_is_touched(found: View) -> None:
    assert slots.orders(found, NOW) is None


# How long a member is remembered


@pytest.mark.parametrize(
    ("before", "record", "kept", "remembered"),
    [
        ({}, lease(), (), {"m0": NOW, "m2": NOW}),  # at first everybody who is declared counts from now
        ({"m2": NOW - 900.0}, lease(), (), {"m0": NOW, "m2": NOW - 900.0}),  # no pod: as it was
        ({"gone": NOW - 900.0}, lease(), (), {"m0": NOW, "m2": NOW, "gone": NOW - 900.0}),
        ({"gone": NOW - 1800.0}, lease(), (), {"m0": NOW, "m2": NOW}),
        ({"gone": NOW - 1800.0}, lease(), ("gone",), {"m0": NOW, "m2": NOW, "gone": NOW - 1800.0}),  # until dropped
        ({}, lease(retain_slots=("gone",)), (), {"m0": NOW, "m2": NOW, "gone": NOW}),  # another agent's memory
    ],
)
def test_a_member_is_remembered_for_its_time(
    before: dict[str, float], record: Lease, kept: tuple[str, ...], remembered: dict[str, float]
) -> None:
    pods = (pod("m0"), pod("m1"))
    declared = ("m0", "m1", "m2")
    assert slots.remembered(before, "m1", declared, pods, record, kept, 1800.0, NOW) == remembered


# What the lease says


def test_what_is_not_there_yet_or_lost_stays_published() -> None:
    record = lease(leader="m1", slots={"cdc": 3000, "m2": 4000, "theirs": 1, "undeclared": 2})
    seen = SlotsSeen(True, {"m2": SlotState("physical", "kept", 4800), "cdc": SlotState("logical", "lost")})
    found = leader_view(configuration=configured(), slots_present={"m2": NOW}, slots=seen)
    assert slots.published(found, record) == {"cdc": 3000, "m2": 4800}
    as_standby = msgspec.structs.replace(seen, primary=False)
    assert slots.published(msgspec.structs.replace(found, slots=as_standby), record) == {"cdc": 3000, "m2": 4000}


# Restart for a slot


LEADER, WAITS = peer("m0", status("m0")), {"streaming_from": "m0", "slots_waiting": ("cdc",)}


def waiting(**changes: Any) -> View:
    base = view(slots=SlotsSeen(waiting=("cdc",)), peers=(LEADER, peer("m2", status("m2", streaming_from="m0"))))
    return msgspec.structs.replace(base, **changes)


def test_a_standby_restarts_for_a_slot_while_another_one_streams() -> None:
    decision = decide(waiting(), NOW)
    assert decision.reason.code == "slot-restart" and "cdc" in decision.reason.text
    assert [type(action) for action in decision.actions] == [Stop]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"slots": SlotsSeen()}, "replica"),
        ({"peers": (LEADER, peer("m2", status("m2")))}, "replica"),  # it does not stream
        ({"peers": (LEADER, peer("m2", None))}, "replica"),
        ({"peers": (LEADER,), "members": ("m0", "m1")}, "slot-restart"),  # no other standby at all
        ({"peers": (LEADER, peer("m2", status("m2", streaming_from="m0"), NOW - 6))}, "slot-restart-waits"),
        ({"peers": (LEADER, peer("m00", status("m2", **WAITS)))}, "replica"),  # the one before it has its turn
        ({"peers": (LEADER, peer("m2", status("m2", **WAITS)))}, "slot-restart"),
    ],
)
def test_one_standby_at_a_time_restarts(changes: dict[str, Any], code: str) -> None:
    decision = decide(waiting(**changes), NOW)
    assert decision.reason.code == code
    expected: dict[str, list[type]] = {"slot-restart": [Stop], "slot-restart-waits": [PollPeers]}
    done = [type(action) for action in decision.actions if not isinstance(action, Require)]
    assert done == expected.get(code, [])


# Cascading (tag replicatefrom)


@pytest.mark.parametrize(
    ("streaming_from", "kept"), [("m0", ["m0"]), (None, ["m0", "m2"]), ("m1", ["m0", "m2"]), ("m9", ["m0", "m2"])]
)
def test_only_the_source_keeps_the_slot_of_who_streams_as_its_tag_says(
    streaming_from: str | None, kept: list[str]
) -> None:
    """Who still streams from an old leader, or from nobody, needs one here."""
    words = status("m2", streaming_from=streaming_from, receiver_timeline=2)
    others_ = (peer("m0", status("m0", role="replica")), peer("m2", words))
    found = leader_view(peers=others_, tags={"m2": {"replicatefrom": "m0"}}, slots_present=others("m1"))
    assert [slot.name for slot in ordered(found).slots] == kept
    record = lease(slots={"m0": 1, "m2": 2})
    assert sorted(slots.published(found, record)) == kept


def test_a_source_keeps_it_as_a_standby() -> None:
    words = status("m2", streaming_from="m1", receiver_timeline=2)
    found = view(
        peers=(peer("m0", status("m0")), peer("m2", words)), tags={"m2": {"replicatefrom": "m1"}},
        slots_present=others("m1"),
    )  # fmt: skip
    assert [slot.name for slot in ordered(found).slots] == ["m0", "m2"]
