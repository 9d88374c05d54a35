"""Requests to this very member: begun when nothing else is under way, carried out once, and answered."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.decide.test_switchover import answered
from tests.unit.decide.views import NOW, leader_view, lease, observing, standby, stopped, view

from pgherd.decide import decide
from pgherd.decide.asked import ARRIVES
from pgherd.model.actions import Reinitialise, Reload, Restart
from pgherd.model.parameters import Change
from pgherd.model.request import Asked, Parameters, Request, Stage, Verb
from pgherd.model.settings import Configuration
from pgherd.model.synchronous import WAIT, Enforced
from pgherd.model.view import Task, TaskKind


def request(
    verb: Verb, state: Stage = Stage.RUNNING, member: str = "m1", begun: float | None = NOW, since: float = NOW
) -> Asked:
    return Asked(Request("r", verb, member, state=state), since, begun)


@pytest.mark.parametrize("verb", [Verb.RESTART, Verb.RELOAD, Verb.REINITIALIZE])
def test_it_runs_first_and_is_carried_out_then(verb: Verb) -> None:
    said = answered(decide(view(requests=(request(verb, Stage.PENDING),)), NOW))
    assert said is not None and said.state is Stage.RUNNING
    decision = decide(view(requests=(request(verb),)), NOW)
    wanted = {
        Verb.RESTART: Restart(60, False, "m0", "r"), Verb.RELOAD: Reload("r"),
        Verb.REINITIALIZE: Reinitialise("m0", 60, "r"),
    }  # fmt: skip
    assert wanted[verb] in decision.actions and decision.reason.code == "on-request"


@pytest.mark.parametrize(
    "changes", [{}, {"enforced": Enforced(WAIT, 0)}], ids=["well", "its commits wait for a standby"]
)
def test_a_leader_is_restarted_as_a_leader_and_never_reinitialised(changes: dict[str, Any]) -> None:
    decision = decide(leader_view(requests=(request(Verb.RESTART),), **changes), NOW)
    assert Restart(60, True, None, "r") in decision.actions
    said = answered(decide(leader_view(requests=(request(Verb.REINITIALIZE, Stage.PENDING),)), NOW))
    assert said is not None and said.state is Stage.REFUSED and "it is the leader" in said.reason


def test_a_copy_that_was_asked_for_is_not_made_of_who_became_the_leader() -> None:
    """Not now, and not when it is a replica again; a later request is served."""
    said = answered(decide(leader_view(requests=(request(Verb.REINITIALIZE), request(Verb.RELOAD))), NOW))
    assert said is not None and said.state is Stage.FAILED and "it became the leader first" in said.reason


@pytest.mark.parametrize(("waited", "ends"), [(300.0, False), (300.5, True)])
@pytest.mark.parametrize(
    ("state", "end", "text"),
    [
        (Stage.PENDING, Stage.REFUSED, "could not be begun within 300 s: following m0"),
        (Stage.RUNNING, Stage.FAILED, "not carried out within 300 s: following m0"),
    ],
)
def test_what_finds_no_moment_stands_in_nobodys_way_for_ever(
    waited: float, ends: bool, state: Stage, end: Stage, text: str
) -> None:
    """A restart finds no moment beside a decision to follow somebody else; each limit counts from its own start."""
    since = NOW - waited if state is Stage.PENDING else NOW - 900
    asked = request(Verb.RESTART, state, since=since, begun=NOW - waited if state is Stage.RUNNING else None)
    said = answered(decide(view(server=standby(following=None), requests=(asked,)), NOW))
    assert (said is not None) is ends
    assert said is None or (said.state is end and text in said.reason)


def test_a_standby_that_may_not_be_cloned_by_itself_is_restarted_and_cloned_on_request() -> None:
    """It stays as it is until somebody does something about it: that must be possible."""
    kept = Configuration(allow_data_loss_reclone=False)
    stalled = {"server": standby(streaming=False), "stalled_since": NOW - 500, "configuration": kept}
    for verb, action in (
        (Verb.RESTART, Restart(60, False, "m0", "r")),
        (Verb.REINITIALIZE, Reinitialise("m0", 60, "r")),
    ):
        said = answered(decide(view(requests=(request(verb, Stage.PENDING),), **stalled), NOW))
        assert said is not None and said.state is Stage.RUNNING
        assert action in decide(view(requests=(request(verb),), **stalled), NOW).actions


@pytest.mark.parametrize(
    "changes",
    [
        {"requests": (request(Verb.RESTART, member="m2"),)},
        {"requests": (request(Verb.RESTART),), "task": Task(TaskKind.START, NOW)},
    ],
    ids=["another member's", "something is under way"],
)
def test_what_is_not_its_turn_is_left_alone(changes: dict[str, Any]) -> None:
    decision = decide(view(**changes), NOW)
    assert answered(decision) is None and not any(isinstance(each, Restart) for each in decision.actions)


def test_what_an_earlier_agent_began_is_not_begun_again() -> None:
    said = answered(decide(view(requests=(request(Verb.RESTART, begun=None),)), NOW))
    assert said is not None and said.state is Stage.FAILED and "ask again" in said.reason


def test_a_server_that_does_not_run_is_not_restarted() -> None:
    said = answered(decide(view(server=stopped(), requests=(request(Verb.RESTART, Stage.PENDING),)), NOW))
    assert said is not None and said.state is Stage.REFUSED and "stopped" in said.reason


def test_in_a_pause_a_person_starts_what_was_stopped() -> None:
    paused = observing(msgspec.structs.replace(lease(), pause=True))
    down = {"server": stopped(), "knowledge": paused, "configuration": Configuration(pause=True)}
    said = answered(decide(view(requests=(request(Verb.RESTART, Stage.PENDING),), **down), NOW))
    assert said is not None and said.state is Stage.RUNNING
    assert Restart(60, False, "m0", "r") in decide(view(requests=(request(Verb.RESTART),), **down), NOW).actions


def test_only_where_a_parameter_waits_for_it_is_restarted() -> None:
    asked = Asked(Request("r", Verb.RESTART, "m1", parameters=Parameters(only_pending=True)), NOW)
    decision = decide(view(requests=(asked,)), NOW)
    assert answered(decision) is None, "what was configured just now may not have arrived yet"
    assert decision.wake_at is not None and decision.wake_at <= NOW + ARRIVES
    said = answered(decide(view(requests=(asked,)), NOW + ARRIVES))
    assert said is not None and said.state is Stage.DONE and said.result == {"restarted": "false"}
    waits = standby(pending_restart={"max_connections": Change("100", "200")})
    said = answered(decide(view(server=waits, requests=(asked,)), NOW))
    assert said is not None and said.state is Stage.RUNNING
