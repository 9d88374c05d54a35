# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for members with progress: a module cannot speak while it runs, so the wait is cut into slices."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..modules import pki
from ..plugin_utils.here import execute

SLICE_SECONDS = 10

display = Display()


class ActionModule(ActionBase):
    """Runs the module of the same name again and again until members have followed, and shows who has not.

    Each slice begins by looking, as the next run would after an interruption; only the first one is asked to renew.
    """

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        args = dict(self._task.args)
        total, began = int(args.get("wait_timeout", 180)), time.monotonic()
        earlier = list[dict[str, Any]]()
        while True:
            passed = time.monotonic() - began
            left = total - passed
            last = left <= SLICE_SECONDS
            found = execute(
                self,
                pki,
                {
                    **args,
                    "wait_timeout": max(0, int(min(left, SLICE_SECONDS))),
                    "required": args.get("required", True) if last else True,
                },
                task_vars,
            )
            if not found.get("waiting") or last:
                if found.get("waiting") and found.get("failed"):
                    found["msg"] = f"after {time.monotonic() - began:.0f} s {found['msg']}"
                result.update(merged(earlier, found))
                return result
            display.display(f"  {args.get('authority')}: {passed + SLICE_SECONDS:.0f} s: {'; '.join(found['waiting'])}")
            earlier.append(found)
            args["renew"] = []


def merged(earlier: list[dict[str, Any]], last: dict[str, Any]) -> dict[str, Any]:
    """What all slices together have done, as one result."""
    slices = [*earlier, last]
    result = {**last, "changed": any(each.get("changed") for each in slices)}
    for key in ("changes", "diff"):
        if any(key in each for each in slices):
            result[key] = [line for each in slices for line in each.get(key) or ()]
    moved = {each["name"]: each for slice in earlier for each in slice.get("objects") or () if _moved(each)}
    if "objects" in last:
        result["objects"] = [each if _moved(each) else moved.get(each["name"], each) for each in last["objects"]]
    reasons = {each["secret"]: each["reason"] for slice in earlier for each in slice.get("certificates") or ()}
    if "certificates" in last:
        result["certificates"] = [
            {**each, "reason": each["reason"] or reasons.get(each["secret"], "")} for each in last["certificates"]
        ]
    return result


def _moved(outcome: dict[str, Any]) -> bool:
    return bool(outcome["action"] != "unchanged")
