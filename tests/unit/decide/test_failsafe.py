"""A holder whose renewals the API does not confirm: when it asks for promises, and what it says."""

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
    primary,
    standby,
    status,
    stopped,
    view,
)

from pgherd.decide import decide
from pgherd.model.actions import AskPromises, Decision, WriteLease
from pgherd.model.knowledge import Attempt, Extension, Given, WriteKind
from pgherd.model.lease import Candidate
from pgherd.model.server import Health, Process
from pgherd.model.settings import Configuration
from pgherd.model.view import Task, TaskKind, View

MINE = lease(leader="m1", address="10.0.0.1")
"""m1's own record, with m2 as candidate (and m1, which it never asks)."""


def without_api(since: float, **changes: Any) -> View:
    """m1's last confirmed renewal was sent `since` seconds ago (loop_wait 3, retry_timeout 3, ttl 10)."""
    base = leader_view(knowledge=holding(MINE, NOW - since), health=Health(NOW - 0.5, True), writing=True)
    return msgspec.structs.replace(base, **changes)


def asks(decision: Decision) -> bool:
    return AskPromises() in decision.actions


def on_promises(since: float, began: float, **changes: Any) -> View:
    known = holding(MINE, NOW - since)
    known = msgspec.structs.replace(known, extension=Extension(MINE.epoch, NOW - began, 10.0))
    return without_api(since, **{"knowledge": known, **changes})


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("a renewal still has its time", without_api(5.9), False),
        ("it had it", without_api(6.0), True),
        ("whether or not a write is under way", without_api(6.0, writing=False), True),
        ("not without proof of health since the renewal", without_api(6.0, health=Health(NOW - 7, True)), False),
        ("nor with a proof that it is ill", without_api(6.0, health=Health(NOW - 1, False, "no fsync")), False),
        ("nor before it is published again", without_api(
            6.0, knowledge=holding(msgspec.structs.replace(MINE, address=None), NOW - 6), health=None), False),
        ("published again, it works", without_api(
            6.0, knowledge=holding(msgspec.structs.replace(MINE, address=None), NOW - 6)), True),
        ("switched off", without_api(6.0, configuration=Configuration(failsafe_mode=False)), False),
        ("after a round: as often as renewals", on_promises(20, 2.9), False),
        ("the next one", on_promises(20, 3.0), True),
        ("which needs another proof", on_promises(20, 3.0, health=Health(NOW - 4, True)), False),
        ("a primary that starts again in place", without_api(
            6.0, server=stopped(process=Process.STARTING), restless_since=NOW - 2, health=None), True),
        ("and does so for too long", without_api(
            6.0, server=stopped(process=Process.STARTING), restless_since=NOW - 301, health=None), False),
        ("one that is about to start", without_api(
            6.0, server=stopped(was_primary=True), task=Task(TaskKind.START, NOW - 1), health=None), True),
        ("a member that leaves", without_api(6.0, terminating=True), False),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)  # fmt: skip
def test_when_it_asks(name: str, given: View, expected: bool) -> None:
    assert asks(decide(given, NOW)) is expected, name


def test_a_cluster_that_is_not_published_yet_lives_on_no_promises() -> None:
    assert MINE.holder is not None
    new = msgspec.structs.replace(MINE, holder=msgspec.structs.replace(MINE.holder, writable=1), address=None)
    given = without_api(6.0, knowledge=holding(new, NOW - 6.0), server=standby(following=None, streaming=False))
    assert not asks(decide(given, NOW))
    assert not asks(decide(without_api(6.0, initialize="bootstrapping:5"), NOW))


def test_a_lease_that_has_ended_is_not_revived_by_promises() -> None:
    for since in (9.0, 9.5, 10.0, 30.0):
        decision = decide(without_api(since), NOW)
        assert not asks(decision)
        assert decision.reason.code in ("lease-ending", "primary-without-lease")


def test_it_wakes_when_a_round_is_due() -> None:
    decision = decide(without_api(5.0), NOW)
    assert decision.wake_at is not None and decision.wake_at <= NOW + 1.0


def test_it_does_not_look_all_the_while_because_a_renewal_is_overdue() -> None:
    assert decide(on_promises(200, 1.0), NOW).wake_at == NOW + 2.0
    wake_at = decide(on_promises(200, 3.0), NOW).wake_at
    assert wake_at is not None and wake_at >= NOW + 0.2


def test_renewals_are_tried_all_the_while_with_the_candidates_that_promised() -> None:
    given = on_promises(20, 1.0, writing=False, peers=(peer("m2", status("m2", streaming_from=None)),))
    [write] = [action for action in decide(given, NOW).actions if isinstance(action, WriteLease)]
    assert write.kind is WriteKind.RENEW and write.record.candidates == MINE.candidates


def test_it_says_what_carries_the_lease() -> None:
    reason = decide(on_promises(20, 1.0), NOW).reason
    assert reason.code == "failsafe" and reason.text.endswith("leader on the promises of m2")
    alone = holding(lease(leader="m1", address="10.0.0.1", candidates=()), NOW - 20)
    alone = msgspec.structs.replace(alone, extension=Extension(5, NOW - 1, 10.0))
    assert "nobody else can take it" in decide(on_promises(20, 1.0, knowledge=alone), NOW).reason.text
    missing = decide(without_api(6.5, unpromised="no promise from m2 (m2: no answer)"), NOW).reason
    assert missing.code == "promise-missing" and "m2: no answer" in missing.text
    assert decide(without_api(3.5), NOW).reason.code == "primary"


# The others


def test_a_promise_is_kept_beyond_the_lease() -> None:
    known = msgspec.structs.replace(observing(lease(), NOW - 11), given=Given(5, NOW + 1))
    decision = decide(view(knowledge=known, peers=(peer("m0", None), peer("m2", status("m2")))), NOW)
    assert decision.reason.code == "waiting-for-leader"
    assert decide(view(knowledge=known, peers=(peer("m0", status("m0")),)), NOW).wake_at == NOW + 1


def test_a_promise_gives_way_to_proof() -> None:
    known = msgspec.structs.replace(observing(lease(released=5), NOW - 1), given=Given(5, NOW + 9))
    decision = decide(view(knowledge=known, peers=(peer("m0", None), peer("m2", status("m2")))), NOW)
    assert [type(action) for action in decision.actions] == [WriteLease]


def test_a_member_that_promised_stops_the_race() -> None:
    ended = observing(lease(candidates=(Candidate("m1", "i1"),)), NOW - 11)
    others = (peer("m0", None), peer("m2", status("m2", promised_until=3.0)))
    decision = decide(view(knowledge=ended, peers=others), NOW)
    assert decision.reason.code == "promised-away" and "m2" in decision.reason.text
    free = observing(lease(released=5), NOW - 11)
    assert decide(view(knowledge=free, peers=others), NOW).reason.code == "released"


def test_an_unanswered_renewal_changes_nothing_about_when_it_asks() -> None:
    known = holding(MINE, NOW - 6)
    tried = Attempt("b", NOW - 3, 10.0, WriteKind.RENEW, 5, "7", MINE.candidates)
    assert asks(decide(without_api(6.0, knowledge=msgspec.structs.replace(known, unanswered=(tried,))), NOW))


def test_a_healthy_primary_that_renews_asks_nobody() -> None:
    assert not asks(decide(leader_view(server=primary()), NOW))
