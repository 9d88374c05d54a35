"""When the lease may be taken, who stands back, and who founds a new cluster (§2, §5, S1, S2, S6, S7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from tests.unit.decide.views import NOW, lease, observing, peer, pod, standby, status, stopped, view

from pgherd.decide import decide
from pgherd.decide.election import STEP
from pgherd.model.actions import Decision, PollPeers, Start, WriteLease
from pgherd.model.knowledge import WriteKind
from pgherd.model.lease import Candidate, Handover, Holder, Lease
from pgherd.model.member import Death, MemberStatus
from pgherd.model.position import Ancestor, Position
from pgherd.model.server import Data, Process, Server
from pgherd.model.settings import Configuration
from pgherd.model.view import Failure, Task, TaskKind, View

ENDED = observing(lease(), first_seen=NOW - 10.5)
OTHERS = (peer("m0", None), peer("m2", status("m2")))


def ended(**changes: Any) -> View:
    """m0 did not renew for its ttl; m2 answers with as much WAL as m1."""
    return view(**{"knowledge": ENDED, "peers": OTHERS, **changes})


def taken(decision: Decision) -> Lease | None:
    writes = [each for each in decision.actions if isinstance(each, WriteLease)]
    assert all(write.kind is WriteKind.TAKE for write in writes)
    return writes[0].record if writes else None


def test_the_instant_of_the_expiry_is_the_observers_own() -> None:
    just_before, at = observing(lease(), NOW - 9.999), observing(lease(), NOW - 10)
    early = decide(ended(knowledge=just_before), NOW)
    assert taken(early) is None and early.wake_at is not None and NOW < early.wake_at <= NOW + 0.3
    assert taken(decide(ended(knowledge=at), NOW)) is not None


def test_the_records_ttl_counts_not_the_configured_one() -> None:
    patient = observing(lease(ttl=30), NOW - 29)
    assert taken(decide(ended(knowledge=patient), NOW)) is None
    impatient = ended(knowledge=observing(lease(ttl=5), NOW - 5), configuration=Configuration(ttl=30, loop_wait=10))
    record = taken(decide(impatient, NOW))
    assert record is not None and record.ttl == 30


@pytest.mark.parametrize("delay", [0.0, 3.0, 7.0])
def test_a_dead_container_is_waited_for_as_long_as_configured(delay: float) -> None:
    dead = (pod("m0", (Death("u0", "c0"),)), pod("m1"), pod("m2"))
    found = view(
        pods=dead, peers=OTHERS, death_seen=NOW, knowledge=observing(lease(), NOW),
        configuration=Configuration(early_takeover_delay=delay),
    )  # fmt: skip
    if delay:
        before = decide(found, NOW + delay - 0.01)
        assert taken(before) is None
    asked = (peer("m0", None, NOW + delay), peer("m2", status("m2"), NOW + delay))
    after = decide(msgspec.structs.replace(found, peers=asked), NOW + delay)
    assert after.reason.code == "container-dead" and taken(after) is not None


def test_a_holder_without_a_certain_container_cannot_be_proved_dead() -> None:
    """Proof 2 is void while `container` is empty: an empty name in both places proves nothing (S1)."""
    nameless = lease(holder=Holder(uid="u0", container="", nonce="n", timeline=2, writable=2))
    found = view(
        knowledge=observing(nameless),
        pods=(pod("m0", (Death("u0", ""),)),),
        death_seen=NOW - 60,
        peers=OTHERS,
    )
    assert taken(decide(found, NOW)) is None


@pytest.mark.parametrize(
    "given",
    [
        Handover("m2", "i2", 5, 5000),
        Handover("m1", "before the volume was emptied", 5, 5000),
        Handover("m1", "i1", 4, 5000),
    ],
    ids=["another member", "other data", "an earlier epoch"],
)
def test_a_handover_is_proof_for_one_member_its_data_and_its_epoch_only(given: Handover) -> None:
    assert taken(decide(view(knowledge=observing(lease(handover=given)), peers=OTHERS), NOW)) is None


def test_a_handover_to_this_member_needs_no_rank() -> None:
    ahead = (peer("m0", None), peer("m2", status("m2", position=Position(2, 9000))))
    given = observing(lease(handover=Handover("m1", "i1", 5, 5000)), NOW - 0.1)
    decision = decide(view(knowledge=given, peers=ahead), NOW)
    assert decision.reason.code == "handover"
    record = taken(decision)
    assert record is not None and record.handover is None


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ({"role": "primary"}, "primary-answers"),
        ({"holds_until": 4.0}, "holder-answers"),
        ({"position": Position(2, 5001)}, "yielding"),
        ({"position": Position(2, 4999)}, "lease-expired"),
        ({"position": Position(2, 9000), "terminating": True}, "lease-expired"),
        ({"position": Position(2, 9000), "system_identifier": "other"}, "lease-expired"),
        ({"position": Position(1, 9000)}, "lease-expired"),
        ({"position": None, "has_data": False}, "lease-expired"),
        ({"position": Position(2, 9000), "uid": "of a former pod"}, "lease-expired"),
    ],
)
def test_what_another_members_words_change(words: dict[str, Any], code: str) -> None:
    found = ended(peers=(peer("m0", None), peer("m2", status("m2", **words))))
    decision = decide(found, NOW)
    assert decision.reason.code == code
    assert (taken(decision) is not None) is (code == "lease-expired")


def test_each_better_candidate_gets_one_step() -> None:
    better = (
        peer("m0", status("m0", role="replica", position=Position(2, 7000))),
        peer("m2", status("m2", position=Position(2, 6000))),
    )
    named = lease(candidates=tuple(Candidate(f"m{number}", f"i{number}") for number in range(3)))
    found = ended(peers=better, knowledge=observing(named, NOW - 20))
    decision = decide(found, NOW)
    assert decision.reason.code == "yielding" and decision.wake_at == pytest.approx(NOW + 2 * STEP)
    late = decide(found, NOW + 2 * STEP + 0.001)
    assert late.reason.code == "lease-expired" and taken(late) is not None


def test_who_asks_again_and_hears_the_same_does_not_wait_anew() -> None:
    """Better ones that may not take, such as voters of a quorum that is not whole, would keep it out for ever."""

    def asked(at: float) -> View:
        words = {"m0": status("m0", role="replica", position=Position(2, 7000)), "m2": None}
        return ended(
            peers=tuple(peer(name, said, at, NOW) for name, said in words.items()),
            knowledge=observing(lease(candidates=(Candidate("m0", "i0"), Candidate("m1", "i1"))), NOW - 12),
        )

    assert decide(asked(NOW), NOW).reason.code == "yielding"
    assert taken(decide(asked(NOW + STEP), NOW + STEP + 0.001)) is not None


def test_of_equals_the_first_name_goes_first() -> None:
    assert decide(ended(), NOW).reason.code == "lease-expired"
    as_m2 = ended(member="m2", uid="u2", server=standby(incarnation="i2"), peers=(peer("m1", status("m1")),))
    assert decide(as_m2, NOW).reason.code == "yielding"


def test_a_recorded_candidate_goes_before_one_with_more_wal() -> None:
    only_m2 = lease(candidates=(Candidate("m2", "i2"),))
    found = ended(
        knowledge=observing(only_m2, NOW - 20), server=standby(position=Position(2, 9000)),
        peers=(peer("m0", status("m0", role="replica")), peer("m2", status("m2"))),
    )  # fmt: skip
    assert decide(found, NOW).reason.code == "yielding"


@pytest.mark.parametrize(
    ("silent", "code"),
    [((), "lease-expired"), (("m0",), "outsider"), (("m2",), "outsider"), (("m0", "m2"), "outsider")],
)
def test_an_outsider_needs_the_word_of_holder_and_candidates(silent: tuple[str, ...], code: str) -> None:
    words = {"m0": status("m0", role="replica", position=Position(2, 1)), "m2": status("m2", terminating=True)}
    others = tuple(peer(name, None if name in silent else said) for name, said in words.items())
    found = ended(knowledge=observing(lease(candidates=(Candidate("m2", "i2"),)), NOW - 20), peers=others)
    decision = decide(found, NOW)
    assert decision.reason.code == code and all(name in decision.reason.text for name in silent)


def test_words_from_before_the_end_of_the_lease_do_not_count() -> None:
    old = (peer("m0", None, NOW - 1), peer("m2", status("m2"), NOW - 1))
    decision = decide(ended(peers=old), NOW)
    assert decision.reason.code == "asking" and PollPeers() in decision.actions


@pytest.mark.parametrize(
    ("server", "text"),
    [
        (standby(position=Position(1, 5000)), "(S2)"),
        (standby(position=Position(3, 5000), history=(Ancestor(1, 100),)), "(S2)"),
        (standby(position=None), "the end of its WAL is not known yet"),
        (standby(process=Process.STARTING), "PostgreSQL is starting"),
        (standby(position=Position(2, 5000 - 2_000_000)), "2000000 bytes behind"),
    ],
)
def test_who_is_not_eligible(server: Server, text: str) -> None:
    decision = decide(ended(server=server), NOW)
    assert decision.reason.code == "not-eligible" and text in decision.reason.text and taken(decision) is None


def test_a_timeline_above_the_published_one_is_no_hindrance_when_it_descends_from_it() -> None:
    above = standby(position=Position(3, 6000), history=(Ancestor(1, 100), Ancestor(2, 5500)))
    record = taken(decide(ended(server=above), NOW))
    assert record is not None and record.holder is not None and record.holder.timeline == 4


def test_the_new_timeline_lies_above_every_number_that_anybody_speaks_of() -> None:
    far = status("m2", position=Position(2, 10), history=(Ancestor(1, 5), Ancestor(8, 9)))
    record = taken(decide(ended(peers=(peer("m0", None), peer("m2", far))), NOW))
    assert record is not None and record.holder is not None and record.holder.timeline == 9


def test_what_is_lost_at_most_and_why_each_other_member_lost_is_recorded() -> None:
    found = ended(knowledge=observing(lease(optime=5700), NOW - 20))
    (write,) = (each for each in decide(found, NOW).actions if isinstance(each, WriteLease))
    assert write.at_risk == 700
    assert {loser.member: loser.why for loser in write.losers} == {
        "m0": "no answer",
        "m2": "ranked behind: it has 2@0/1388",
    }


def test_a_stranger_takes_nothing_and_starts_nothing() -> None:
    for server in (standby(system_identifier="other"), stopped(system_identifier="other")):
        assert decide(ended(server=server), NOW).actions == ()


def test_nothing_is_written_twice() -> None:
    decision = decide(ended(writing=True), NOW)
    assert decision.reason.code == "taking" and decision.actions == ()


@pytest.mark.parametrize(
    ("failures", "until"),
    [(1, 2.0), (2, 4.0), (3, 8.0), (5, 32.0), (6, 60.0), (16, 60.0)],
)
def test_who_failed_stands_back_for_a_growing_pause(failures: int, until: float) -> None:
    failed = tuple(Failure(TaskKind.PROMOTE, None, 2, NOW, "no") for _ in range(failures))
    decision = decide(ended(failures=failed), NOW)
    assert (decision.reason.code, decision.wake_at) == ("standing-back", NOW + until)
    asked = (peer("m0", None, NOW + until), peer("m2", status("m2"), NOW + until))
    assert taken(decide(ended(failures=failed, peers=asked), NOW + until)) is not None


def test_a_failed_clone_is_no_reason_to_stand_back() -> None:
    failed = (Failure(TaskKind.CLONE, "m0", 2, NOW, "no"),)
    assert taken(decide(ended(failures=failed), NOW)) is not None


def test_the_error_that_is_shown_is_the_one_that_it_stands_back_for() -> None:
    failed = (Failure(TaskKind.PROMOTE, None, 2, NOW, "disk full"), Failure(TaskKind.CLONE, "m0", 2, NOW, "refused"))
    assert "disk full" in decide(ended(failures=failed), NOW).reason.text


@pytest.mark.parametrize(
    ("server", "task"),
    [(stopped(), Task(TaskKind.START, NOW)), (Server(), Task(TaskKind.CLONE, NOW)), (Server(), None)],
)
def test_nobody_starts_or_takes_while_a_task_runs_or_without_data(server: Server, task: Task | None) -> None:
    assert not any(isinstance(a, Start | WriteLease) for a in decide(ended(server=server, task=task), NOW).actions)


def test_nobody_starts_alone_beside_a_primary() -> None:
    decision = decide(ended(server=stopped(), peers=(peer("m2", status("m2", role="primary")),)), NOW)
    assert not any(isinstance(action, Start) for action in decision.actions)


def test_a_predecessors_lease_is_taken_back_without_asking_anybody() -> None:
    """Proof 3: the holder of that lease was this pod, and it is dead."""
    mine = observing(lease(leader="m1"), NOW - 0.1)
    never_asked = (peer("m0", None, 0.0), peer("m2", None, 0.0))
    decision = decide(view(knowledge=mine, predecessor_held=True, peers=never_asked), NOW)
    record = taken(decision)
    assert decision.reason.code == "predecessor-dead" and record is not None
    assert record.epoch == 6 and record.holder is not None and record.holder.timeline == 3  # a standby: a new timeline


@pytest.mark.parametrize(("timeline", "code"), [(2, "predecessor-dead"), (1, "start-alone")])
def test_a_volume_that_was_put_back_to_an_earlier_state_is_not_resumed(timeline: int, code: str) -> None:
    """S2: the lease says that timeline 2 was writable; data that end on timeline 1 must not go on beside it."""
    mine = observing(lease(leader="m1"), NOW - 0.1)
    down = stopped(was_primary=True, position=Position(timeline, 5000))
    assert decide(view(knowledge=mine, predecessor_held=True, server=down, peers=OTHERS), NOW).reason.code == code


# A new cluster (S7)

NOTHING: dict[str, Any] = {"has_data": False, "position": None, "role": "none", "system_identifier": None}
FREE = Lease(leader=None, epoch=0, ttl=10, released=0)


def new(words: Mapping[str, MemberStatus | None], since: float = NOW - 1, **changes: Any) -> View:
    """A lock object that the play made, and an empty m1."""
    others = tuple(peer(name, said) for name, said in words.items())
    given = {"knowledge": observing(FREE, since), "initialize": None, "server": Server(), "peers": others}
    return view(**{**given, **changes})


EMPTY: dict[str, MemberStatus | None] = {name: status(name, **NOTHING) for name in ("m0", "m2")}


def test_a_new_cluster_begins_on_timeline_one() -> None:
    record = taken(decide(new(EMPTY), NOW))
    assert record is not None and record.holder is not None
    assert (record.leader, record.epoch, record.released, record.holder.timeline) == ("m1", 1, None, 1)


def test_members_of_a_new_cluster_go_in_their_declared_order() -> None:
    decision = decide(new(EMPTY, NOW), NOW)
    assert (decision.reason.code, decision.wake_at) == ("yielding", NOW + STEP)
    assert taken(decide(new(EMPTY, NOW), NOW + STEP)) is not None
    first = {name: status(name, **NOTHING) for name in ("m1", "m2")}
    assert taken(decide(new(first, NOW, member="m0", uid="u0"), NOW)) is not None


def test_nothing_is_made_by_a_configuration_that_was_not_read() -> None:
    """It may be one of a standby cluster, whose data are another's copy."""
    decision = decide(new(EMPTY, configuration_read=False), NOW)
    assert decision.reason.code == "bootstrap-waits" and taken(decision) is None


@pytest.mark.parametrize("missing", ["m0", "m2"])
def test_a_silent_declared_member_may_have_the_data(missing: str) -> None:
    decision = decide(new({**EMPTY, missing: None}), NOW)
    assert decision.reason.code == "bootstrap-waits" and missing in decision.reason.text and taken(decision) is None


def test_so_may_a_pod_that_is_no_longer_declared() -> None:
    decision = decide(new({**EMPTY, "m3": None}), NOW)
    assert decision.reason.code == "bootstrap-waits" and "m3" in decision.reason.text


def test_data_of_different_clusters_are_for_a_person_to_judge() -> None:
    words = {**EMPTY, "m0": status("m0", role="replica", system_identifier="other")}
    decision = decide(new(words, server=standby()), NOW)
    assert decision.reason.code == "two-clusters" and decision.actions == ()


def test_the_member_that_has_data_goes_first() -> None:
    assert decide(new({**EMPTY, "m2": status("m2")}), NOW).reason.code == "bootstrap-waits"
    assert decide(new(EMPTY, server=stopped()), NOW).reason.code == "start-alone"
    assert taken(decide(new(EMPTY, server=standby()), NOW)) is not None


@pytest.mark.parametrize("kind", [TaskKind.INITIALISE, TaskKind.CLONE, TaskKind.KILL])
def test_a_member_at_work_on_its_volume_may_have_data_in_a_moment(kind: TaskKind) -> None:
    """An initialisation that ends just now, on a machine that does not know yet that it stood still (S7)."""
    at_work = status("m2", **{**NOTHING, "state": kind.value})
    decision = decide(new({**EMPTY, "m2": at_work}), NOW)
    assert (decision.reason.code, taken(decision)) == ("bootstrap-waits", None) and "m2" in decision.reason.text


def test_data_that_are_there_already_are_promoted_above_their_own_timeline() -> None:
    """A lock object that was made anew has no leader: a promotion onto timeline 1 would be refused."""
    words = {**EMPTY, "m2": status("m2", position=Position(3, 10), history=(Ancestor(2, 5),))}
    for initialize in (None, "7000"):
        record = taken(decide(new(words, server=standby(position=Position(3, 50)), initialize=initialize), NOW))
        assert record is not None and record.holder is not None and record.holder.timeline == 4


@pytest.mark.parametrize("data", [Data.BROKEN, Data.HALF_REWOUND])
def test_a_data_directory_that_cannot_be_used_is_never_initialised_over(data: Data) -> None:
    decision = decide(new(EMPTY, server=Server(data=data)), NOW)
    assert decision.actions == ()


def test_what_the_former_holder_says_that_it_has_is_at_risk() -> None:
    """More than it had published in the lease."""
    beyond = status("m0", role="replica", position=Position(2, 5700))
    found = decide(ended(peers=(peer("m0", beyond, NOW), peer("m2", status("m2"), NOW))), NOW + 1)
    [write] = [each for each in found.actions if isinstance(each, WriteLease)] or [None]
    assert write is not None and write.at_risk == 700
