"""A standby whose replay stands still for its parameters restarts, whoever holds the lease."""

from __future__ import annotations

from tests.unit.decide.views import NOW, leader_view, standby, view

from pgherd.decide import decide
from pgherd.model.actions import Promote, Stop, WriteLease

CRAMPED = standby(cramped=("max_connections 60 < 130",), paused_replay=True)


def test_a_cramped_replica_restarts() -> None:
    decision = decide(view(server=CRAMPED), NOW)
    assert decision.reason.code == "parameters-restart" and "60 < 130" in decision.reason.text
    assert [type(action) for action in decision.actions] == [Stop]


def test_a_holder_restarts_before_it_is_promoted() -> None:
    """PostgreSQL does not promote a standby whose replay stands still for this."""
    decision = decide(leader_view(server=CRAMPED), NOW + 3)
    kinds = [type(action) for action in decision.actions]
    assert Stop in kinds and Promote not in kinds and WriteLease in kinds, "renewed meanwhile"


def test_a_replay_that_a_person_paused_is_left_alone() -> None:
    assert decide(view(server=standby(paused_replay=True)), NOW).reason.code == "replica"
