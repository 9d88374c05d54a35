"""Who may take the lease, and when: §2 and §5 of the protocol as cases."""

from __future__ import annotations

import msgspec
import pytest
from tests.unit.decide.views import NOW, lease, observing, peer, pod, standby, status, stopped, view

from pgherd.decide import decide
from pgherd.model.actions import Decision, PollPeers, Start, WriteLease
from pgherd.model.knowledge import WriteKind
from pgherd.model.lease import Handover
from pgherd.model.member import Death
from pgherd.model.position import Position
from pgherd.model.server import Data, Server
from pgherd.model.view import Failure, TaskKind, View

EXPIRED = observing(lease(), first_seen=NOW - 10.5)
SILENT = (peer("m0", None, NOW), peer("m2", status("m2"), NOW))


def expired(**changes: object) -> View:
    return view(**{"knowledge": EXPIRED, "peers": SILENT, **changes})


def takes(decision: Decision) -> WriteLease | None:
    found = [a for a in decision.actions if isinstance(a, WriteLease) and a.kind is WriteKind.TAKE]
    return found[0] if found else None


def test_an_expired_lease_is_taken_by_the_best_with_a_higher_epoch_and_timeline() -> None:
    decision = decide(expired(), NOW)
    write = takes(decision)
    assert decision.reason.code == "lease-expired" and write is not None
    assert (write.record.leader, write.record.epoch, write.record.address) == ("m1", 6, None)
    assert write.record.holder is not None and write.record.holder.timeline == 3
    assert [loser.member for loser in write.losers] == ["m0", "m2"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"knowledge": observing(lease(), NOW - 9.9)}, "waiting-for-leader"),
        ({"peers": (peer("m0", None, NOW), peer("m2", status("m2"), NOW - 5))}, "asking"),
        ({"peers": (peer("m0", None, NOW - 5), peer("m2", status("m2", role="primary"), NOW))}, "primary-answers"),
        ({"peers": (peer("m0", None, NOW), peer("m2", status("m2", position=Position(2, 6000)), NOW))}, "yielding"),
        ({"server": standby(position=Position(1, 9000))}, "not-eligible"),
        ({"knowledge": observing(lease(optime=9_000_000), 0)}, "not-eligible"),
        ({"server": standby(system_identifier="other")}, "system-identifier"),
        ({"server": standby(incarnation="emptied since")}, "outsider"),
        ({"failures": (Failure(TaskKind.PROMOTE, None, 2, NOW, "it died"),)}, "standing-back"),
    ],
)  # fmt: skip
def test_who_does_not_take(changes: dict[str, object], code: str) -> None:
    decision = decide(expired(**changes), NOW)
    assert takes(decision) is None and decision.reason.code == code


def test_the_dead_holder_is_not_waited_for() -> None:
    asked_before = (peer("m0", None, NOW - 8), peer("m2", status("m2"), NOW))
    assert takes(decide(expired(peers=asked_before), NOW)) is not None


@pytest.mark.parametrize("name", ["m1", "m2"])
def test_another_name_in_the_lease_makes_nobody_its_heir(name: str) -> None:
    """m0 made it, without candidates: cut off from the API it goes on, as nobody else can take it (S1)."""
    edited = observing(lease(leader=name, candidates=()), first_seen=NOW - 10.5)
    decision = decide(expired(knowledge=edited), NOW)
    assert takes(decision) is None and decision.reason.code == "outsider" and "m0" in decision.reason.text
    behind = Position(2, 4000)
    told = (
        peer("m0", status("m0", role="replica", position=behind), NOW),
        peer("m2", status("m2", position=behind), NOW),
    )
    assert takes(decide(expired(knowledge=edited, peers=told), NOW)) is not None


def test_a_stopped_member_starts_alone_before_it_can_take() -> None:
    decision = decide(expired(server=stopped()), NOW)
    assert decision.actions == (Start(writable=False),) and decision.reason.code == "start-alone"


def test_a_released_lease_is_taken_at_once() -> None:
    decision = decide(view(knowledge=observing(lease(released=5), NOW - 0.1)), NOW)
    # m0 still answers as primary in its old words: those were asked for before the release.
    assert decision.reason.code in ("asking", "primary-answers")
    others = (peer("m0", status("m0", role="replica"), NOW), peer("m2", status("m2"), NOW))
    assert takes(decide(view(knowledge=observing(lease(released=5), NOW - 0.1), peers=others), NOW)) is not None


def test_a_handover_waits_for_the_last_bytes() -> None:
    given = lease(handover=Handover("m1", "i1", 5, 6000))
    others = (peer("m2", status("m2"), NOW),)
    decision = decide(view(knowledge=observing(given, NOW - 0.1), peers=others), NOW)
    assert decision.reason.code == "catching-up"
    late = view(knowledge=observing(given, NOW - 0.1), peers=others, server=standby(position=Position(2, 6000)))
    assert takes(decide(late, NOW)) is not None
    # After its ttl it binds nobody any more.
    assert takes(decide(expired(knowledge=observing(given, NOW - 10.5)), NOW)) is not None


@pytest.mark.parametrize(
    ("death", "seen", "taken"),
    [
        (Death("u0", "c0"), NOW - 3.1, True),
        (Death("u0", "c0"), NOW - 2.0, False),
        (Death("u0", "another"), NOW - 3.1, False),
        (Death("stranger", "c0"), NOW - 3.1, False),
    ],
)
def test_proof_of_death_is_exactly_the_holders_container(death: Death, seen: float, taken: bool) -> None:
    others = (peer("m2", status("m2"), NOW),)
    found = view(pods=(pod("m0", (death,)), pod("m1"), pod("m2")), death_seen=seen, peers=others)
    assert (takes(decide(found, NOW)) is not None) is taken


def test_a_predecessors_lease_is_taken_back_at_once_on_its_own_timeline() -> None:
    mine = observing(lease(leader="m1"), NOW - 0.1)
    write = takes(decide(view(knowledge=mine, predecessor_held=True, server=stopped(was_primary=True), peers=()), NOW))
    assert write is not None and write.record.holder is not None and write.record.holder.timeline == 2


def empty(words: object, **changes: object) -> View:
    nothing = msgspec.structs.replace(
        lease(), leader=None, epoch=0, released=0, holder=None, candidates=(), address=None
    )
    found = {"knowledge": observing(nothing, NOW - 5), "initialize": None, "server": Server(), "peers": words}
    return view(**{**found, **changes})


def test_a_new_cluster_waits_for_every_declared_member() -> None:
    none = {"has_data": False, "position": None, "role": "none"}
    all_of_them = (peer("m0", status("m0", **none)), peer("m2", status("m2", **none)))
    assert takes(decide(empty(all_of_them), NOW)) is not None
    assert decide(empty(all_of_them[:1]), NOW).reason.code == "bootstrap-waits"
    one_has_data = (peer("m0", status("m0")), peer("m2", status("m2", **none)))
    decision = decide(empty(one_has_data), NOW)
    assert decision.reason.code == "bootstrap-waits" and isinstance(decision.actions[0], PollPeers)


def test_a_cluster_that_was_writable_is_never_new_again() -> None:
    none = {"has_data": False, "position": None, "role": "none"}
    words = (peer("m0", status("m0", **none)), peer("m2", status("m2", **none)))
    decision = decide(empty(words, knowledge=observing(lease(), NOW - 20)), NOW)
    assert takes(decision) is None and decision.reason.code == "data-gone"


def test_a_broken_data_directory_is_never_initialised_over() -> None:
    assert takes(decide(empty((), server=Server(data=Data.BROKEN), members=("m1",)), NOW)) is None
