"""A pause holds once it is recorded; then nobody promotes, starts, stops, takes or replaces anything (§5, "Pause")."""

from __future__ import annotations

import math
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
    stopped,
    view,
)

from pgherd.decide import decide, maintenance
from pgherd.model.actions import Clone, Exit, Follow, KeepPrimary, Kill, Promote, Start, Stop, WriteLease
from pgherd.model.knowledge import Attempt, Knowledge, WriteKind, observed, sent
from pgherd.model.lease import Handover, Lease
from pgherd.model.member import Death
from pgherd.model.position import Position
from pgherd.model.server import Data, Health, Process
from pgherd.model.settings import Configuration
from pgherd.model.view import Failure, TaskKind, View

WANTED = Configuration(pause=True)
DEAD = Death("u0", "c0")
LONG_AGO = NOW - 3600
M0_STOPPED = (peer("m0", status("m0", role="none")), peer("m2", status("m2")))


def paused(record: Lease, **changes: Any) -> Lease:
    assert record.holder is not None
    maker = msgspec.structs.replace(record.holder, pause=True, uid="u1" if record.leader == "m1" else "u0")
    return msgspec.structs.replace(record, pause=True, holder=maker, **changes)


def held(record: Lease, t0: float = NOW - 1, unanswered: tuple[Attempt, ...] = ()) -> Knowledge:
    known = holding(record, t0)
    assert known.held is not None
    mine = msgspec.structs.replace(known.held, pause=record.pause)
    return msgspec.structs.replace(known, held=mine, unanswered=unanswered)


def holder_view(t0: float = NOW - 1, unanswered: tuple[Attempt, ...] = (), **changes: Any) -> View:
    """m1 has recorded a pause."""
    record = paused(lease(leader="m1", address="10.0.0.1", candidates=()))
    return leader_view(**{"configuration": WANTED, "knowledge": held(record, t0, unanswered), **changes})


def follower_view(configuration: Configuration = WANTED, **changes: Any) -> View:
    """m0 has recorded a pause, and m1 saw that long ago."""
    return view(**{"configuration": configuration, "knowledge": observing(paused(lease()), LONG_AGO), **changes})


def written(actions: tuple[Any, ...]) -> WriteLease | None:
    return next((action for action in actions if isinstance(action, WriteLease)), None)


# Recording it


def test_a_published_primary_records_the_pause_at_once() -> None:
    decision = decide(leader_view(configuration=WANTED), NOW)
    write = written(decision.actions)
    assert decision.reason.code == "pausing"
    assert write is not None and write.kind is WriteKind.RENEW and write.record.pause
    assert write.record.address == "10.0.0.1"


@pytest.mark.parametrize(
    "changes",
    [
        {"health": Health(NOW, False, "the disk is full")},
        {"server": primary(promoting=True)},
        {"server": standby()},
        {"server": stopped(was_primary=True)},
        {"knowledge": holding(lease(leader="m1", address=None, candidates=()))},
    ],
)
def test_a_pause_is_recorded_only_by_a_primary_that_works_and_is_published(changes: dict[str, Any]) -> None:
    decision = decide(leader_view(configuration=WANTED, **changes), NOW)
    write = written(decision.actions)
    assert write is None or not write.record.pause


def test_an_annotation_that_a_person_set_is_no_record() -> None:
    """Only the own confirmed write disarms; the next renewal says what is so."""
    edited = msgspec.structs.replace(lease(leader="m1", address="10.0.0.1", candidates=()), pause=True)
    late = decide(leader_view(knowledge=holding(edited, NOW - 9.5)), NOW)
    assert late.reason.code == "lease-ending" and late.actions == (Kill(),)
    due = written(decide(leader_view(knowledge=holding(edited, NOW - 4)), NOW).actions)
    assert due is not None and not due.record.pause


def test_a_pause_goes_on_until_its_end_could_be_read() -> None:
    """An agent that started anew beside a missing configuration goes by the defaults, which want no pause."""
    unread = {"configuration": Configuration(), "configuration_read": False}
    assert decide(holder_view(**unread), NOW).reason.code == "paused"
    assert decide(holder_view(configuration=Configuration()), NOW).reason.code == "resuming"
    silent = {"peers": (peer("m0", None), peer("m2", status("m2")))}
    assert decide(follower_view(**unread, **silent), NOW) == decide(follower_view(**silent), NOW)
    assert decide(follower_view(Configuration(), **silent), NOW).reason.code == "pause-left"


# The holder in a pause


@pytest.mark.parametrize(
    "server",
    [
        stopped(was_primary=True),
        standby(),
        standby(process=Process.STARTING),
        primary(position=Position(7, 5000)),
        stopped(data=Data.EMPTY),
    ],
)
def test_whatever_people_do_to_postgresql_is_left_alone(server: Any) -> None:
    decision = decide(holder_view(server=server, stopped_since=LONG_AGO), NOW)
    assert decision.reason.code == "paused"
    assert not any(isinstance(action, (*maintenance.LEFT_ALONE, Kill)) for action in decision.actions)


def test_what_is_left_of_a_postmaster_that_died_is_killed_and_nothing_is_started() -> None:
    decision = decide(holder_view(server=stopped(process=Process.CRASHED)), NOW)
    assert decision.actions == (Kill(),)


def test_the_lease_is_renewed_without_proof_of_health_and_keeps_the_pause() -> None:
    sick = Health(NOW, False, "no answer")
    decision = decide(holder_view(NOW - 4, health=sick, server=stopped()), NOW)
    write = written(decision.actions)
    assert write is not None and write.kind is WriteKind.RENEW and write.record.pause


def test_a_paused_lease_does_not_end_while_the_api_is_away() -> None:
    decision = decide(holder_view(LONG_AGO), NOW)
    assert decision.reason.code == "paused" and KeepPrimary() in decision.actions
    assert not any(isinstance(action, Kill) for action in decision.actions)


def test_another_members_paused_lease_protects_no_primary() -> None:
    decision = decide(follower_view(server=primary()), NOW)
    assert decision.reason.code == "primary-without-lease" and decision.actions == (Kill(),)


def test_postgresql_that_a_person_started_after_a_take_back_is_published() -> None:
    record = paused(lease(leader="m1", address=None, candidates=()))
    write = written(decide(holder_view(knowledge=held(record)), NOW).actions)
    assert write is not None and write.record.address == "10.0.0.1" and write.record.pause


def test_told_to_stop_in_a_pause_it_names_no_successor_and_the_pause_stays() -> None:
    gone = holder_view(terminating=True, server=stopped(was_primary=True, clean=True))
    write = written(decide(gone, NOW).actions)
    assert write is not None and write.kind is WriteKind.RELEASE
    assert write.record.pause and write.record.handover is None


# Its end


def clear(nonce: str = "clear", t0: float = NOW) -> Attempt:
    return Attempt(nonce, t0, 10, WriteKind.RENEW, 5, "7")


@pytest.mark.parametrize(("t0", "still"), [(NOW - 1, False), (NOW - 3.5, True), (LONG_AGO, True)])
def test_the_end_is_written_only_soon_after_a_confirmed_renewal_with_the_pause(t0: float, still: bool) -> None:
    decision = decide(holder_view(t0, configuration=Configuration()), NOW)
    write = written(decision.actions)
    assert decision.reason.code == "resuming" and write is not None and write.record.pause is still


def test_an_unanswered_end_of_the_pause_counts_as_one() -> None:
    """The lease ends, from the last confirmed renewal, as it does without a pause."""
    assert decide(holder_view(NOW - 8.9, (clear(),)), NOW).reason.code == "paused"
    late = decide(holder_view(NOW - 9.1, (clear(),)), NOW)
    assert late.reason.code == "lease-ending" and late.actions == (Kill(),)


def test_a_pause_whose_end_was_not_confirmed_in_time_is_taken_back_by_its_maker() -> None:
    """Nobody else could take it, and the write without an answer is excluded by that take alone."""
    down = {"server": stopped(was_primary=True), "peers": M0_STOPPED}
    write = written(
        decide(holder_view(NOW - 20, (clear(t0=NOW - 19),), configuration=Configuration(), **down), NOW).actions
    )
    assert write is not None and write.kind is WriteKind.TAKE and write.record.epoch == 6 and not write.record.pause
    again = written(decide(holder_view(NOW - 20, (clear(t0=NOW - 19),), **down), NOW).actions)
    assert again is not None and again.kind is WriteKind.TAKE and again.record.pause
    first = decide(holder_view(NOW - 20, (clear(t0=NOW - 19),), server=primary()), NOW)
    assert first.actions == (Kill(),)


def test_after_the_end_postgresql_has_its_whole_time_to_start() -> None:
    record = lease(leader="m1", address="10.0.0.1", candidates=())
    known = msgspec.structs.replace(holding(record), held_from=LONG_AGO, resumed=NOW - 1)
    down = leader_view(
        knowledge=known, server=stopped(was_primary=True), stopped_since=LONG_AGO,
        failures=(Failure(TaskKind.START, None, 2, LONG_AGO + 1, "a person's attempt"),) * 3,
    )  # fmt: skip
    assert decide(down, NOW).actions[0] == Start(writable=True)
    assert decide(down, NOW + 5).reason.code == "restart-in-place"


def test_resumed_is_when_the_confirmed_record_without_the_pause_was_sent() -> None:
    known = held(paused(lease(leader="m1")), NOW - 1)
    cleared = lease(leader="m1", holder=msgspec.structs.replace(lease().holder, nonce="clear"))  # type: ignore[type-var]
    after = observed(sent(known, clear(t0=NOW)), cleared, "8", NOW + 1)
    assert (after.resumed, after.held_from) == (NOW, known.held_from)
    renewed = msgspec.structs.replace(cleared, holder=msgspec.structs.replace(cleared.holder, nonce="more"))  # type: ignore[type-var]
    more = sent(after, Attempt("more", NOW + 3, 10, WriteKind.RENEW, 5, "8"))
    assert observed(more, renewed, "9", NOW + 4).resumed == NOW


# The others


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"server": stopped()},
        {"server": stopped(data=Data.EMPTY)},
        {"server": standby(position=Position(2, 9000))},
        {"peers": (peer("m2", status("m2")),)},
        {"pods": (pod("m0", (DEAD,)), pod("m1")), "death_seen": LONG_AGO},
    ],
)
def test_nobody_takes_a_paused_lease_and_nothing_is_done_to_a_replica(changes: dict[str, Any]) -> None:
    decision = decide(follower_view(**changes), NOW)
    assert not any(isinstance(action, (WriteLease, *maintenance.LEFT_ALONE)) for action in decision.actions)


@pytest.mark.parametrize(
    "changes",
    [{"server": stopped()}, {"server": stopped(data=Data.EMPTY)}, {"server": stopped(position=Position(2, 9000))}],
)
def test_what_is_left_undone_is_said(changes: dict[str, Any]) -> None:
    decision = decide(follower_view(**changes), NOW)
    assert decision.reason.code == "paused" and "left undone" in decision.reason.text


def test_a_running_standby_follows_as_ever() -> None:
    decision = decide(follower_view(server=standby(following="m2", streaming=False)), NOW)
    assert decision.actions == (Follow("m0"),)


def test_a_lease_that_was_released_in_a_pause_waits_for_its_end() -> None:
    record = paused(lease(), released=5)
    seen = {"knowledge": observing(record, LONG_AGO), "peers": M0_STOPPED}
    assert decide(follower_view(**seen), NOW).reason.code == "paused"
    assert written(decide(follower_view(Configuration(), **seen), NOW).actions) is not None


def test_a_handover_in_a_pause_is_a_persons_wish_and_ends_the_record_of_it() -> None:
    record = paused(lease(), handover=Handover("m1", "i1", 5, 5000))
    write = written(decide(follower_view(knowledge=observing(record, LONG_AGO), peers=M0_STOPPED), NOW).actions)
    assert write is not None and write.kind is WriteKind.TAKE and not write.record.pause


@pytest.mark.parametrize("free", [False, True])
def test_the_same_pod_takes_its_own_lease_back_and_starts_nothing(free: bool) -> None:
    record = paused(lease(leader="m1"), released=5 if free else None)
    own = {"knowledge": observing(record), "predecessor_held": not free, "server": stopped(was_primary=True)}
    write = written(decide(follower_view(peers=M0_STOPPED, **own), NOW).actions)
    assert write is not None and write.kind is WriteKind.TAKE and write.record.pause
    after = decide(holder_view(server=stopped(was_primary=True)), NOW)
    assert not any(isinstance(action, (Start, Promote, Stop, Clone, Exit)) for action in after.actions)


@pytest.mark.parametrize(
    "own",
    [
        {"server": stopped(was_primary=False)},
        {"server": stopped(was_primary=True, position=Position(1, 5000))},
        {"server": stopped(data=Data.EMPTY, was_primary=False)},
    ],
)
def test_whose_data_went_another_way_does_not_take_its_lease_back_in_a_pause(own: dict[str, Any]) -> None:
    seen = follower_view(knowledge=observing(paused(lease(leader="m1"))), predecessor_held=True, **own)
    assert decide(seen, NOW).reason.code == "paused" and written(decide(seen, NOW).actions) is None


def test_proof_of_death_counts_once_the_end_of_the_pause_is_wanted() -> None:
    dead = {"pods": (pod("m0", (DEAD,)), pod("m1"), pod("m2")), "death_seen": NOW - 10, "peers": M0_STOPPED}
    write = written(decide(follower_view(Configuration(), **dead), NOW).actions)
    assert write is not None and write.kind is WriteKind.TAKE and not write.record.pause


def test_who_waits_for_a_silent_paused_leader_says_what_a_person_can_do() -> None:
    silent = follower_view(Configuration(), peers=(peer("m0", None), peer("m2", status("m2"))))
    decision = decide(silent, NOW)
    assert decision.reason.code == "pause-left" and "--leader-is-dead" in decision.reason.text
    assert decision.wake_at is None or decision.wake_at < math.inf


def test_a_persons_word_frees_the_lease_for_all_and_from_its_holder() -> None:
    freed = maintenance.declared_dead(paused(lease()), "word")
    assert freed.free and not freed.pause and freed.epoch == 6 and freed.address is None
    known = observed(held(paused(lease(leader="m1"))), freed, "9", NOW)
    assert known.held is None  # and so, if it lives and hears of it, it kills
    assert written(decide(view(knowledge=observing(freed, NOW - 1), peers=M0_STOPPED), NOW).actions) is not None
