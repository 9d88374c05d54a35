# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules of this collection without a process of their own, where that process would be this one's twin.

Packing a module, starting Python and importing the client of Kubernetes takes ten times as long as what the module then
asks the API. A worker of the play has all that from its parent. Where the task runs elsewhere (another host, user,
interpreter, or in the background), the module is executed like any other; what it does and answers is the same.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.plugins.action import ActionBase

from ..module_utils.masking import hidden

try:
    from kubernetes.config import kube_config  # once, before the workers are made
except ImportError:
    kube_config = None


class Ended(BaseException):
    """A module has its result: in a process of its own it would exit now."""

    def __init__(self, result: dict[str, Any]) -> None:
        super().__init__()
        self.result = result


class Call:
    """What the modules of this collection use of AnsibleModule."""

    def __init__(self, params: dict[str, Any], check_mode: bool, diff: bool) -> None:
        self.params, self.check_mode, self._diff = params, check_mode, diff
        self.warnings: list[str] = []

    def warn(self, warning: str) -> None:
        self.warnings.append(warning)

    def exit_json(self, **found: Any) -> NoReturn:
        raise Ended({"changed": False, **found, **({"warnings": self.warnings} if self.warnings else {})})

    def fail_json(self, msg: str, **found: Any) -> NoReturn:
        raise Ended({"changed": False, **found, "failed": True, "msg": msg})


def execute(
    action: ActionBase, module: ModuleType, args: Mapping[str, Any], task_vars: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The result of a module that has OPTIONS and `perform`, wherever its task is to run."""
    if not runs_here(action, task_vars or {}):
        found: dict[str, Any] = action._execute_module(
            module_name=f"pgherd.postgres.{module.__name__.rpartition('.')[2]}",
            module_args=dict(args),
            task_vars=task_vars,
            wrap_async=bool(action._task.async_val) and not action._connection.has_native_async,
        )
        if "invocation" in found:
            # Ansible masks options that are secrets; this hides those within an object.
            found["invocation"] = hidden(found["invocation"])
        return found
    with _apart(str(action._loader.get_basedir())):
        return perform(module, args, bool(action._task.check_mode), bool(action._task.diff))


def runs_here(action: ActionBase, task_vars: Mapping[str, Any]) -> bool:
    """Whether the module would be started on this machine, as this user, by this interpreter, and waited for.

    And with this process's environment: the libraries here have read theirs when they were imported.
    """
    connection, task = action._connection, action._task
    if connection.transport != "local" or connection.become is not None or task.async_val:
        return False
    environment: dict[str, Any] = {}
    action._compute_environment_string(environment)
    if environment:
        return False
    delegated = (task_vars.get("ansible_delegated_vars") or {}).get(task.delegate_to, {})
    variables = delegated if task.delegate_to else task_vars
    return bool(action._templar.template(variables.get("ansible_python_interpreter")) == sys.executable)


def perform(module: ModuleType, args: Mapping[str, Any], check_mode: bool, diff: bool) -> dict[str, Any]:
    """Between plain values, as they pass between processes."""
    checked = ArgumentSpecValidator(module.OPTIONS).validate(_plain(args))
    if checked.error_messages:
        return {"failed": True, "changed": False, "msg": "; ".join(checked.error_messages)}
    call = Call(checked.validated_parameters, check_mode, diff)
    try:
        module.perform(call)
    except Ended as ended:
        return dict(remove_values(_plain(ended.result), checked._no_log_values))
    raise AssertionError(f"{module.__name__} has no result")


@contextlib.contextmanager
def _apart(directory: str) -> Iterator[None]:
    """Relative paths mean what they would mean to a process of its own, and no file of credentials outlives it.

    The client of Kubernetes writes those for OpenSSL, and removes them when its process exits as a worker never does.
    """
    before, names = Path.cwd(), kube_config._temp_files if kube_config else {}
    os.chdir(directory)
    try:
        if kube_config:
            kube_config._temp_files = {}
        yield
    finally:
        if kube_config:
            kube_config._cleanup_temp_files()
            kube_config._temp_files = names
        os.chdir(before)


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=_text))


def _text(value: Any) -> str:
    """Dates as Ansible hands them to a module, and what a vault holds."""
    return value.isoformat() if isinstance(value, datetime.date) else str(value)
