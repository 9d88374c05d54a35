"""A module in the worker's own process: only where its process would be this one's twin, and with the same answers."""

from __future__ import annotations

import datetime
import os
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from ansible_collections.pgherd.postgres.plugins.modules import cluster_info, pki, resources, rollout
from ansible_collections.pgherd.postgres.plugins.plugin_utils.here import execute, perform

from .agents import Agents
from .agents import call as called
from .rendering import cluster, rendered

HERE = {"ansible_python_interpreter": sys.executable}
COMMON = {"namespace": "databases", "cluster": "demo", "selector": {"pgherd.dev/cluster": "demo"}}


def api() -> Agents:
    """A cluster, and an account without rights of its own."""
    made, reviews = Agents(), "/apis/authorization.k8s.io/v1"
    made.answers[f"{reviews}/selfsubjectrulesreviews"] = {"status": {"resourceRules": []}}
    made.answers[f"{reviews}/selfsubjectaccessreviews"] = {"status": {"allowed": False}}
    return made


class Action:
    """A task as its action plugin sees it."""

    def __init__(self, transport: str = "local", become: Any = None, environment: Any = None, **task: Any) -> None:
        self._connection = SimpleNamespace(transport=transport, become=become)
        self._task = SimpleNamespace(
            **{"async_val": 0, "delegate_to": None, "check_mode": False, "diff": False, **task}
        )
        self._templar = SimpleNamespace(template=lambda value: value)
        self._environment = environment or {}
        self.started: list[str] = []

    def _compute_environment_string(self, found: dict[str, Any]) -> None:
        found.update(self._environment)

    def _execute_module(self, module_name: str, module_args: Any, task_vars: Any) -> dict[str, Any]:
        self.started.append(module_name)
        return {"elsewhere": True}


def module(perform: Any, **options: Any) -> ModuleType:
    made: Any = ModuleType("ansible_collections.pgherd.postgres.plugins.modules.example")
    made.OPTIONS, made.perform = options, perform
    return made  # type: ignore[no-any-return]


ECHO = module(lambda call: call.exit_json(seen=call.params["text"]), text={"type": "str"})


@pytest.mark.parametrize(
    ("action", "variables"),
    [
        (Action("ssh"), HERE),
        (Action(become=SimpleNamespace(name="sudo")), HERE),
        (Action(async_val=60), HERE),
        (Action(), {}),
        (Action(), {"ansible_python_interpreter": "/usr/bin/another"}),
        (Action(delegate_to="bastion"), HERE),
        (Action(delegate_to="bastion"), {**HERE, "ansible_delegated_vars": {"bastion": {}}}),
    ],
    ids=["host", "user", "background", "discovered", "interpreter", "delegated", "delegated without"],
)
def test_a_task_that_runs_elsewhere_has_a_process_of_its_own(action: Any, variables: dict[str, Any]) -> None:
    assert execute(action, ECHO, {"text": "a"}, variables) == {"elsewhere": True}
    assert action.started == ["pgherd.postgres.example"]


@pytest.mark.parametrize(
    ("action", "variables"),
    [(Action(), HERE), (Action(delegate_to="near"), {"ansible_delegated_vars": {"near": HERE}})],
    ids=["host", "delegated"],
)
def test_a_task_that_would_start_this_interpreter_here_needs_no_process(action: Any, variables: dict[str, Any]) -> None:
    assert execute(action, ECHO, {"text": "a"}, variables) == {"seen": "a", "changed": False}
    assert action.started == []


def test_the_tasks_environment_is_the_modules_and_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K8S_AUTH_HOST", "https://before")
    reads = module(lambda call: call.exit_json(seen=os.environ["K8S_AUTH_HOST"]))
    action: Any = Action(environment={"K8S_AUTH_HOST": "https://k"})
    assert execute(action, reads, {}, HERE)["seen"] == "https://k"
    assert os.environ["K8S_AUTH_HOST"] == "https://before"


def test_options_are_checked_and_converted_as_ansible_does() -> None:
    given = {"text": {"type": "str", "required": True}, "many": {"type": "int", "default": 3}}
    shows = module(lambda call: call.exit_json(**call.params), **given)
    assert perform(shows, {"text": 5, "many": "7"}, False, False) == {"changed": False, "text": "5", "many": 7}
    assert perform(shows, {"text": datetime.date(2026, 1, 2)}, False, False)["text"] == "2026-01-02"
    refused = perform(shows, {"texts": "a"}, False, False)
    assert refused["failed"] and "texts" in refused["msg"] and "missing required arguments: text" in refused["msg"]
    assert "nr" in perform(shows, {"text": "a", "many": "nr"}, False, False)["msg"]


def test_what_is_not_to_be_shown_is_in_no_result() -> None:
    tells = module(
        lambda call: call.fail_json(f"no entry with {call.params['key']}"), key={"type": "str", "no_log": True}
    )
    found = perform(tells, {"key": "s3cret-value"}, False, False)
    assert found["failed"] and "s3cret-value" not in found["msg"]


def test_a_warning_is_part_of_the_result() -> None:
    def warns(call: Any) -> None:
        call.warn("beware")
        call.exit_json(changed=True)

    assert perform(module(warns), {}, False, False) == {"changed": True, "warnings": ["beware"]}


@pytest.mark.parametrize("check", [True, False])
def test_the_modules_answer_the_same_in_both_ways(monkeypatch: pytest.MonkeyPatch, check: bool) -> None:
    declared = cluster()
    applied, once = rendered(declared)
    members = {"members": [each["pod"] for each in declared["members"]]}
    objects = {"namespace": "databases", "selector": declared["selector"], "owned": declared["owned"],
               "objects": applied, "create_once": once, "users": [], "lock": "demo-ha", **members}  # fmt: skip
    asked: list[tuple[ModuleType, dict[str, Any]]] = [
        (cluster_info, {**COMMON, **members, "history": True}),
        (cluster_info, {**COMMON, **members, "wait": True, "wait_timeout": 0}),
        (rollout, {**COMMON, "members": {}, "shutdown": True, "budget": {"seconds": 0, "kinds": []}}),
        (resources, {**objects, "configuration": "demo-ha-config"}),
        (pki, {"namespace": "nowhere", "authority": "demo-ca", "common_name": "a", "certificates": [],
               "selector": declared["selector"], "labels": declared["labels"]}),
    ]  # fmt: skip
    for each, options in asked:
        apart = called(monkeypatch, each, api(), check, **options)
        monkeypatch.setattr(each, "connect", lambda _: api())
        here = perform(each, options, check, True)
        assert {"changed": False, "failed": False, **here} == {"changed": False, **apart}, each.__name__
