# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module of the same name, in the worker's process where it would run beside it anyway."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ..modules import resources
from ..plugin_utils.here import execute


class ActionModule(ActionBase):
    """Adds nothing to the module."""

    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        return {**result, **execute(self, resources, self._task.args, task_vars)}
