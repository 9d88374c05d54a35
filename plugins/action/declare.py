# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Validation on the controller, where all of a host's variables can be seen, the misspelt ones too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ..module_utils.declaration import Invalid, declare


class ActionModule(ActionBase):
    """Turns `postgres_*` variables into one cluster; asks no API and starts no process."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        host = str(variables["inventory_hostname"])
        _validated, options = self.validate_argument_spec({"image_needed": {"type": "bool", "default": True}})
        try:
            cluster = declare(evaluated(variables, self._templar.template), host, options["image_needed"])
        except Invalid as error:
            listed = "\n  ".join(error.problems)
            result.update(
                failed=True,
                problems=list(error.problems),
                msg=f"{host}: nothing was changed, because:\n  {listed}",
            )
            return result
        result.update(changed=False, cluster=cluster)
        return result


def evaluated(variables: Mapping[str, Any], template: Callable[[Any], Any]) -> dict[str, Any]:
    """The values of our variables. Raises Invalid with the name of each that has none, which Ansible does not say."""
    values, problems = dict[str, Any](), list[str]()
    for name in sorted(each for each in variables if each.startswith("postgres_")):
        try:
            values[name] = _plain(template(variables[name]))
        except AnsibleError as error:
            problems.append(f"{name}: its template has no value: {' '.join(str(error).split())}")
    if problems:
        raise Invalid(problems)
    return values


def _plain(value: Any) -> Any:
    """Without Ansible's own kinds of text, which would follow the values into every object."""
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, str) else value
