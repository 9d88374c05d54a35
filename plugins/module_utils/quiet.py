# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module whose options hold secrets within larger values, in a process of its own.

Ansible masks an option that is a secret as a whole. Of a pg_hba rule with a password in it, it would show everything:
in the system's log when the module starts, and in what it answers about its invocation, however it ends.
"""

from __future__ import annotations

from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from .masking import hidden


class QuietModule(AnsibleModule):
    def _log_invocation(self) -> None:
        """The executor sets `no_log` from the task, whatever a module asks for: this leaves the log alone."""

    def exit_json(self, **found: Any) -> NoReturn:
        super().exit_json(**{"invocation": self._invocation(), **found})

    def fail_json(self, msg: str, **found: Any) -> NoReturn:
        super().fail_json(msg=msg, **{"invocation": self._invocation(), **found})

    def _invocation(self) -> dict[str, Any]:
        return {"module_args": hidden(self.params)}
