"""Waiting goes on while something is missing, an API server that restarts included, and ends with the reason."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.pgherd.postgres.plugins.action import cluster_info

GONE = {"failed": True, "msg": "the Kubernetes API at x cannot be reached", "missing": ["the API cannot be reached"]}
READY = {"changed": False, "missing": []}


class Clock:
    """Time passes only by sleeping, and a slice of waiting takes its length."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def run(
    monkeypatch: pytest.MonkeyPatch, answers: list[dict[str, Any]], wait: bool = True
) -> tuple[dict[str, Any], int]:
    clock, calls = Clock(), list[dict[str, Any]]()
    monkeypatch.setattr(cluster_info, "time", clock)
    monkeypatch.setattr(ActionBase, "run", lambda *arguments: {})
    action: Any = object.__new__(cluster_info.ActionModule)
    action._task = SimpleNamespace(args={"cluster": "demo", "wait": wait, "wait_timeout": 20})

    def execute(action: Any, module: Any, args: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        calls.append(args)
        return dict(answers[min(len(calls), len(answers)) - 1])

    monkeypatch.setattr(cluster_info, "execute", execute)
    return action.run(), len(calls)


def test_an_api_server_that_comes_back_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, [GONE, GONE, READY]) == (READY, 3)


def test_the_reason_is_said_when_the_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    result, calls = run(monkeypatch, [GONE])
    assert result["failed"] and result["msg"].startswith("after 20 s the Kubernetes API at x cannot be reached")
    assert calls == 11


def test_a_refusal_and_a_look_without_waiting_end_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = {"failed": True, "msg": "pods is forbidden"}
    assert run(monkeypatch, [refused]) == (refused, 1)
    user = 'user app: role "nobody" does not exist (postgresql-refused)'
    lasting = {"failed": True, "msg": "demo is not ready", "missing": [user], "refused": [user]}
    assert run(monkeypatch, [lasting])[1] == 1
    assert run(monkeypatch, [{**lasting, "missing": ["a-0 is not ready", user]}, lasting])[1] == 2
    assert run(monkeypatch, [GONE], wait=False)[1] == 1
