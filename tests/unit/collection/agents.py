"""A cluster `demo` of three in memory whose agents answer requests as the real ones do, at the time of the write."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.pgherd.postgres.plugins.module_utils.client import ApiError, Unreachable
from ansible_collections.pgherd.postgres.plugins.module_utils.names import path

from .memory import Memory

NAMESPACE, PREFIX = "databases", "pgherd.dev/"
A, B, C = (f"demo-instance1-{suffix}-0" for suffix in ("aaaa", "bbbb", "cccc"))
BOOK = path("ConfigMap", NAMESPACE, "demo-ha-failover")
LOCK = path("Endpoints", NAMESPACE, "demo-ha")
Answer = dict[str, Any]


class Agents(Memory):
    """`answers_with` says what becomes of a request: changes of its document. Without it everything is done."""

    def __init__(self, leader: str = A, answers_with: Callable[[Answer], Answer] | None = None) -> None:
        super().__init__()
        self.asked: list[Answer] = []
        self.answers_with = answers_with or (lambda _: {"state": "done", "ended": "now"})
        self.lost_replies = self.conflicts = 0
        for name in (A, B, C):
            self.put(_pod(name))
        self.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "demo-ha-failover"}})
        self.put({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "demo-ha", "annotations": {}}})
        self.lead(leader)

    def put(self, item: dict[str, Any]) -> None:
        item["metadata"]["namespace"] = NAMESPACE
        where = path(item["kind"], NAMESPACE, item["metadata"]["name"])
        self._store(where, None, item, False, "test")

    def lead(self, leader: str, serial: int = 7, **changes: str) -> None:
        """The lock as `leader` writes it; empty: it is free."""
        others = [name for name in (A, B, C) if name != leader]
        annotations = {
            "leader": leader, "transitions": "3", "released": "" if leader else "3", "ttl": "10", "optime": "5000",
            "holder": json.dumps({"uid": "u", "timeline": 2, "writable": 2, "serial": serial}),
            "candidates": json.dumps([{"member": name, "incarnation": "i"} for name in others]),
            "slots": json.dumps({name.replace("-", "_"): 4900 for name in others}),
            **changes,
        }  # fmt: skip
        self.objects[LOCK]["metadata"]["annotations"] = annotations

    def request(
        self, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None, content: str = ""
    ) -> dict[str, Any]:
        if method != "PATCH" or path != BOOK:
            return super().request(method, path, body, query, content)
        if self.conflicts:
            self.conflicts -= 1
            raise ApiError(method, path, 409, "the object has been modified")
        found = super().request(method, path, body, query, content)
        for name in body["metadata"]["annotations"]:
            self._answer(name)
        if self.lost_replies:
            self.lost_replies -= 1
            raise Unreachable("the Kubernetes API at https://k cannot be reached: reset")
        return found

    def _answer(self, name: str) -> None:
        annotations = self.objects[BOOK]["metadata"]["annotations"]
        request = json.loads(annotations[name])
        self.asked.append(request)
        annotations[name] = json.dumps({**request, **self.answers_with(request)})


def _pod(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {f"{PREFIX}cluster": "demo", f"{PREFIX}instance": name[:-2], f"{PREFIX}role": "replica"},
        },
        "spec": {"nodeName": "node1"},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }  # fmt: skip


class Ended(Exception):
    def __init__(self, result: dict[str, Any]) -> None:
        super().__init__(result.get("msg", ""))
        self.result = result


def call(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, api: Any, check: bool = False, **options: Any
) -> dict[str, Any]:
    """The result of one module call, as Ansible would get it; `failed` says whether it was a failure."""

    def ended(self: Any, failed: bool = False, **result: Any) -> None:
        raise Ended({**result, "failed": failed})

    monkeypatch.setattr(basic.AnsibleModule, "exit_json", ended)
    monkeypatch.setattr(basic.AnsibleModule, "fail_json", lambda self, **result: ended(self, True, **result))
    monkeypatch.setattr(module, "connect", lambda _: api)
    arguments = {"namespace": NAMESPACE, **options, "_ansible_check_mode": check, "_ansible_diff": True}
    with patch_module_args(json.loads(json.dumps(arguments))), pytest.raises(Ended) as caught:
        module.main()
    return caught.value.result
