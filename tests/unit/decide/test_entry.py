"""Which situation a member is in: without the lease nothing writes (S1, S4)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.decide.views import NOW, holding, leader_view, lease, observing, pod, primary, standby, stopped, view

from pgherd.decide import decide
from pgherd.model.actions import Action, Decision, Kill
from pgherd.model.knowledge import Knowledge
from pgherd.model.server import Process, Server
from pgherd.model.view import Task, TaskKind

MINE = lease(leader="m1", address="10.0.0.1", candidates=())


def kinds(decision: Decision) -> set[type[Action]]:
    return {type(action) for action in decision.actions}


@pytest.mark.parametrize(
    ("age", "code", "killed"),
    [
        (8.9, "primary", False),
        (9.0, "lease-ending", True),
        (9.9, "lease-ending", True),
        (10.0, "primary-without-lease", True),
    ],
)
def test_a_lease_that_was_not_renewed_ends_postgresql(age: float, code: str, killed: bool) -> None:
    decision = decide(leader_view(knowledge=holding(MINE, NOW - age)), NOW)
    assert decision.reason.code == code and (Kill in kinds(decision)) is killed


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"server": primary()}, "primary-without-lease"),
        ({"server": primary(promoting=True)}, "primary-without-lease"),
        ({"task": Task(TaskKind.PROMOTE, NOW)}, "primary-without-lease"),
        ({"server": standby(process=Process.CRASHED)}, "crashed"),
        ({"server": primary(), "knowledge": Knowledge(trouble="the lock object is missing")}, "lock-lost"),
        ({"server": standby(process=Process.CRASHED), "knowledge": Knowledge()}, "lock-lost"),
    ],
)
def test_without_the_lease_nothing_writes(changes: dict[str, Any], code: str) -> None:
    decision = decide(view(**changes), NOW)
    assert (decision.reason.code, decision.actions) == (code, (Kill(),))
    once = decide(view(**{**changes, "task": Task(TaskKind.KILL, NOW)}), NOW)
    assert once.actions == ()


@pytest.mark.parametrize("server", [standby(), stopped(), Server()])
def test_a_lost_lock_leaves_everything_else_as_it_is(server: Server) -> None:
    decision = decide(view(server=server, knowledge=Knowledge(trouble="missing")), NOW)
    assert decision.reason.code == "lock-lost" and decision.actions == () and "missing" in decision.reason.text


def test_a_record_that_merely_names_this_member_is_anothers_lease() -> None:
    decision = decide(view(knowledge=observing(lease(leader="m1")), server=primary(), pods=(pod("m1"),)), NOW)
    assert decision.actions == (Kill(),)
    assert decide(view(knowledge=observing(lease(leader="m1"))), NOW).reason.code == "waiting-for-leader"
