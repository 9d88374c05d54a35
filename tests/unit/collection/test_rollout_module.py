"""One step a call, a plan in check mode, a budget; and the action plugin that calls the module until all is done."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.pgherd.postgres.plugins.action import rollout as action
from ansible_collections.pgherd.postgres.plugins.module_utils import rollout as steps
from ansible_collections.pgherd.postgres.plugins.module_utils.names import path
from ansible_collections.pgherd.postgres.plugins.modules import rollout as module

from .agents import call
from .world import BAD, World


class Setting:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch, self.world = monkeypatch, World()
        self.place = self.world.declare()

    def run(self, check: bool = False, **options: Any) -> dict[str, Any]:
        place = self.place
        usual = {"cluster": "demo", "selector": place.selector, "members": place.members, "wait_timeout": 0}
        return call(self.monkeypatch, module, self.world, check, **{**usual, **options})


@pytest.fixture
def setting(monkeypatch: pytest.MonkeyPatch) -> Setting:
    return Setting(monkeypatch)


def test_nothing_to_do(setting: Setting) -> None:
    found = setting.run()
    assert (found["failed"], found["changed"], found["done"], found["steps"]) == (False, False, True, [])


def test_one_step_a_call_until_it_is_done(setting: Setting) -> None:
    setting.place = setting.world.declare(temporary_size="96Mi")
    kinds = []
    while not (found := setting.run())["done"]:
        assert found["changed"] and len(found["steps"]) == 1
        kinds.append(found["steps"][0]["kind"])
        setting.world.settle()
    assert kinds == ["replace", "replace", "switchover", "replace"] and not found["changed"]


def test_check_mode_says_all_of_it_and_does_nothing(setting: Setting) -> None:
    setting.place = setting.world.declare(temporary_size="96Mi")
    before = setting.world.versions()
    found = setting.run(check=True)
    assert found["changed"] and found["write_seconds"] == 0.6
    assert [each["kind"] for each in found["steps"]] == ["replace", "replace", "switchover", "replace"]
    assert setting.world.versions() == before and setting.world.story == []


def test_check_mode_counts_what_a_dry_run_said_would_change(setting: Setting) -> None:
    changes = {"objects": [], "configuration": [
        {"key": "postgresql.parameters.shared_buffers", "before": None, "after": "1GB"},
        {"key": "ttl", "before": 10, "after": 20},
    ]}  # fmt: skip
    found = setting.run(check=True, changes=changes)
    assert [each["kind"] for each in found["steps"]] == ["reload", "restart", "restart", "switchover"]


@pytest.mark.parametrize("check", [True, False])
def test_what_exceeds_the_budget_is_not_begun(setting: Setting, check: bool) -> None:
    setting.place = setting.world.declare(temporary_size="96Mi")
    found = setting.run(check=check, budget={"seconds": 0.5})
    assert found["failed"] and found["waiting"] == []
    assert found["msg"] == (
        "postgres_disruption_budget of demo is exceeded: writes are expected to wait 0.6 s: seconds allows 0.5 s. "
        "Nothing was done."
    )
    assert setting.world.story == []


def test_what_does_not_get_on_is_named(setting: Setting) -> None:
    setting.place = setting.world.declare(image=BAD)
    setting.run()
    setting.world.settle()
    found = setting.run()
    assert found["failed"] and found["msg"].startswith("demo does not get on: demo-instance1-")
    assert "is not ready" in found["msg"] and found["waiting"]


@pytest.mark.parametrize(("given", "seconds"), [({"step_timeout": 1}, 1), ({}, 0)])
def test_a_step_that_was_begun_ends_within_its_own_time(
    setting: Setting, given: dict[str, int], seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = list[float]()
    monkeypatch.setattr(steps, "outcome", lambda book, sent, limit: limits.append(limit))
    setting.place = setting.world.declare(parameters={"max_connections": 200})
    assert setting.run(**given)["steps"][0]["kind"] == "restart" and limits == [seconds]


def test_a_shutdown(setting: Setting) -> None:
    found = setting.run(check=True, shutdown=True)
    assert [each["kind"] for each in found["steps"]] == ["stop", "stop"] and found["write_seconds"] is None
    while not (found := setting.run(shutdown=True))["done"]:
        setting.world.settle()
    assert setting.world.pods() == {}


# The action plugin.


class Action(action.ActionModule):
    """With answers of the module instead of the module."""

    def __init__(self, answers: list[dict[str, Any]], **args: Any) -> None:
        self.answers, self.asked = answers, list[dict[str, Any]]()
        self._task = SimpleNamespace(args={"cluster": "demo", **args}, check_mode=False, async_val=0)  # type: ignore[assignment]

    def answer(self, args: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(args)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every look at it is five seconds later."""
    now = [0.0]

    def monotonic() -> float:
        now[0] += 5
        return now[0]

    monkeypatch.setattr(action, "time", SimpleNamespace(monotonic=monotonic))
    monkeypatch.setattr(action.ActionBase, "run", lambda self, tmp, task_vars: {})
    monkeypatch.setattr(action, "execute", lambda acting, module, args, task_vars: acting.answer(args))
    return now


STEP = {"kind": "replace", "members": ["demo-a-0"], "reason": "old", "order": 1}
STUCK = {"failed": True, "msg": "demo does not get on: x", "waiting": ["x"], "done": False, "steps": []}


def test_steps_are_collected_until_it_is_done(clock: list[float]) -> None:
    done = {"done": True, "steps": [], "changed": False}
    found = Action([{"done": False, "steps": [STEP]}, STUCK, {"done": False, "steps": [STEP]}, done]).run()
    assert found["changed"] and [each["order"] for each in found["steps"]] == [1, 2] and not found.get("failed")


def test_a_cluster_under_another_prefix_is_not_called_shut_down(setting: Setting) -> None:
    static = setting.world.objects[path("ConfigMap", setting.place.namespace, "demo-config")]
    labels = static["metadata"]["labels"]
    static["metadata"]["labels"] = {key.replace("pgherd.dev/", "x.example/"): value for key, value in labels.items()}
    found = setting.run(shutdown=True)
    assert found["failed"] and "labels of 'x.example/'; set it to that" in found["msg"]


def test_a_restart_in_vain_is_not_done_again_and_again(clock: list[float]) -> None:
    vain = {"done": False, "steps": [{**STEP, "kind": "restart", "reason": "a restart brings x into force"}]}
    other = {"done": False, "steps": [{**STEP, "kind": "restart", "members": ["demo-b-0"], "reason": "the same"}]}
    acting = Action([vain, other, vain, vain])
    found = acting.run()
    assert found["failed"] and found["changed"] and len(found["steps"]) == 2 and len(acting.asked) == 3
    assert "demo-a-0 was restarted (a restart brings x into force)" in found["msg"] and "still waits" in found["msg"]


def test_patience_ends_without_progress(clock: list[float]) -> None:
    found = Action([STUCK], wait_timeout=60).run()
    assert found["failed"] and found["msg"].endswith("demo does not get on: x") and clock[0] < 100


def test_only_waiting_is_sliced_and_a_step_has_all_the_time_that_there_is(clock: list[float]) -> None:
    acting = Action([{"done": True, "steps": [], "changed": False}], wait_timeout=900)
    acting.run()
    assert (acting.asked[0]["wait_timeout"], acting.asked[0]["step_timeout"]) == (15, 900)


def test_a_refused_configuration_is_not_waited_for_that_long(clock: list[float]) -> None:
    Action([{**STUCK, "refused": ["demo-a-0 refuses the configuration: no"]}], wait_timeout=3000).run()
    assert clock[0] < 100


def test_a_pod_that_never_ends_ends_the_play_and_is_deleted_once(setting: Setting, clock: list[float]) -> None:
    """Its node is down: no step is repeated, so that the time without progress runs."""
    setting.place = setting.world.declare(temporary_size="96Mi")
    first = min(name for name in setting.world.pods() if name != setting.world.leader)
    setting.world.lingering = {first: 1000}

    class Real(Action):
        def answer(self, args: dict[str, Any]) -> dict[str, Any]:
            found = setting.run()
            setting.world.settle()
            return found

    found = Real([], wait_timeout=60).run()
    assert found["failed"] and [each["members"] for each in found["steps"]] == [[first]]
    assert f"{first} is terminating" in found["msg"] and clock[0] < 200
    assert setting.world.story == [f"delete pods {first}"]


def test_a_definite_no_ends_it_at_once(clock: list[float]) -> None:
    acting = Action([{"failed": True, "msg": "no", "waiting": [], "done": False}])
    assert acting.run()["msg"] == "no" and len(acting.asked) == 1
