# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollout with progress: the module does one step a call, and says in between what it waits for."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..modules import rollout
from ..plugin_utils.here import execute

SLICE_SECONDS = 15
REFUSED_SECONDS = 30
"""A configuration that a member still refuses after this will not be taken."""

display = Display()


def again(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> str:
    """The restart that was done in vain; empty when there was none."""
    done = [(each["members"], each["reason"]) for each in before if each["kind"] == "restart"]
    vain = [each for each in now if each["kind"] == "restart" and (each["members"], each["reason"]) in done]
    return "; ".join(f"{', '.join(each['members'])} was restarted ({each['reason']})" for each in vain)


class ActionModule(ActionBase):
    """Runs the module of the same name until nothing is left to do, or nothing moves for `wait_timeout` seconds."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        args = dict(self._task.args)
        name, patience = str(args.get("cluster", "")), int(args.get("wait_timeout", 300))
        # What is asked for in slices is waited for in one: a step that was begun has all the time that there is.
        args.setdefault("step_timeout", patience)
        steps = list[dict[str, Any]]()
        moved = time.monotonic()
        while True:
            left = max(1, int(patience - (time.monotonic() - moved)))
            found = execute(self, rollout, {**args, "wait_timeout": min(SLICE_SECONDS, left)}, task_vars)
            if self._task.check_mode:
                return {**result, **found}
            if vain := again(steps, found.get("steps") or ()):
                msg = f"{name}: {vain}, which it was in this run already, and still waits. Its agent's log says more."
                return {**result, **found, "failed": True, "msg": msg, "steps": steps, "changed": True}
            if found.get("steps"):
                moved = time.monotonic()
                steps += [{**each, "order": len(steps) + 1} for each in found["steps"]]
                for each in found["steps"]:
                    display.display(f"  {name}: {each['kind']} {', '.join(each['members'])}: {each['reason']}")
            still = time.monotonic() - moved
            longest = min(patience, REFUSED_SECONDS) if found.get("refused") else patience
            waits = found.get("failed") and found.get("waiting") and still < longest
            if waits:
                display.display(f"  {name}: {still:.0f} s: {'; '.join(found['waiting'])}")
            elif found.get("failed") or found.get("done"):
                if found.get("failed") and found.get("waiting"):
                    found["msg"] = f"after {still:.0f} s {found['msg']}"
                return {**result, **found, "steps": steps, "changed": bool(steps)}
