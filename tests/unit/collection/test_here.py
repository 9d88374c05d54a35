"""A module in the worker's own process: only where its process would be this one's twin, and with the same answers."""

from __future__ import annotations

import base64
import datetime
import sys
import tempfile
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest
from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.pgherd.postgres.plugins.module_utils.client import connect
from ansible_collections.pgherd.postgres.plugins.modules import cluster_info, pki, resources, rollout
from ansible_collections.pgherd.postgres.plugins.plugin_utils.here import execute, perform
from kubernetes.config import kube_config

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

    def __init__(
        self,
        transport: str = "local",
        become: Any = None,
        environment: Any = None,
        directory: str = ".",
        **task: Any,
    ) -> None:
        self._connection = SimpleNamespace(transport=transport, become=become, has_native_async=False)
        self._loader = SimpleNamespace(get_basedir=lambda: directory)
        self._task = SimpleNamespace(
            **{"async_val": 0, "delegate_to": None, "check_mode": False, "diff": False, **task}
        )
        self._templar = SimpleNamespace(template=lambda value: value)
        self._environment = environment or {}
        self.started: list[tuple[str, bool]] = []

    def _compute_environment_string(self, found: dict[str, Any]) -> None:
        found.update(self._environment)

    def _execute_module(
        self, module_name: str, module_args: Any, task_vars: Any, wrap_async: bool = False
    ) -> dict[str, Any]:
        self.started.append((module_name, wrap_async))
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
        (Action(environment={"KUBECONFIG": "/another"}), HERE),
        (Action(), {}),
        (Action(), {"ansible_python_interpreter": "/usr/bin/another"}),
        (Action(delegate_to="bastion"), HERE),
        (Action(delegate_to="bastion"), {**HERE, "ansible_delegated_vars": {"bastion": {}}}),
    ],
    ids=["host", "user", "background", "environment", "discovered", "interpreter", "delegated", "delegated without"],
)
def test_a_task_that_runs_elsewhere_has_a_process_of_its_own(action: Any, variables: dict[str, Any]) -> None:
    assert execute(action, ECHO, {"text": "a"}, variables) == {"elsewhere": True}
    assert action.started == [("pgherd.postgres.example", bool(action._task.async_val))]


@pytest.mark.parametrize(
    ("action", "variables"),
    [(Action(), HERE), (Action(delegate_to="near"), {"ansible_delegated_vars": {"near": HERE}})],
    ids=["host", "delegated"],
)
def test_a_task_that_would_start_this_interpreter_here_needs_no_process(action: Any, variables: dict[str, Any]) -> None:
    assert execute(action, ECHO, {"text": "a"}, variables) == {"seen": "a", "changed": False}
    assert action.started == []


def test_relative_paths_are_the_plays(tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text("here")
    reads = module(lambda call: call.exit_json(seen=Path("kubeconfig").read_text(encoding="utf-8")))
    action: Any = Action(directory=str(tmp_path))
    before = Path.cwd()
    assert execute(action, reads, {}, HERE)["seen"] == "here"
    assert Path.cwd() == before


def configuration(call: Any) -> Any:
    return connect(call)._configuration


KEY = base64.b64encode(b"private").decode()


def kubeconfig(**cluster: Any) -> dict[str, Any]:
    return {
        "clusters": [{"name": "k", "cluster": {"server": "https://127.0.0.1:1", **cluster}}],
        "users": [{"name": "k", "user": {"client-certificate-data": KEY, "client-key-data": KEY}}],
        "contexts": [{"name": "k", "context": {"cluster": "k", "user": "k"}}],
        "current-context": "k",
    }


def test_no_private_key_outlives_the_task_and_the_parents_stay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    parents = kube_config._create_temp_file_with_content("the inventory's")
    written: list[str] = []

    def loads(call: Any) -> None:
        for _ in range(2):
            made = configuration(call)
            written.append(made.key_file)
            assert Path(made.key_file).read_bytes() == b"private"
        call.fail_json("and fails")

    for _ in range(2):
        assert execute(cast(Any, Action()), module(loads, **AUTH_ARG_SPEC), {"kubeconfig": kubeconfig()}, HERE)[
            "failed"
        ]
    assert len(written) == 4
    assert [str(path) for path in tmp_path.iterdir()] == [parents]
    kube_config._cleanup_temp_files()
    assert not list(tmp_path.iterdir())


def test_one_connection_without_verification_does_not_take_it_from_the_next() -> None:
    def loads(call: Any) -> None:
        call.exit_json(verify=configuration(call).verify_ssl)

    tells = module(loads, **AUTH_ARG_SPEC)
    lax = kubeconfig(**{"insecure-skip-tls-verify": True})
    assert execute(cast(Any, Action()), tells, {"kubeconfig": lax}, HERE)["verify"] is False
    assert execute(cast(Any, Action()), tells, {"kubeconfig": kubeconfig()}, HERE)["verify"] is True
    known = {"host": "https://127.0.0.1:1", "api_key": "token"}
    assert execute(cast(Any, Action()), tells, {"kubeconfig": lax}, HERE)["verify"] is False
    assert execute(cast(Any, Action()), tells, known, HERE)["verify"] is True


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
        apart.pop("invocation", None)  # Ansible adds that of every module that has a process of its own
        assert {"changed": False, "failed": False, **here} == {"changed": False, **apart}, each.__name__
