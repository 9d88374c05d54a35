# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting with progress: a module cannot speak while it runs, so the wait is cut into slices."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..modules import cluster_info
from ..plugin_utils.here import execute

SLICE_SECONDS = 10
SHORTEST_SLICE_SECONDS = 2

display = Display()


class ActionModule(ActionBase):
    """Runs the module of the same name; with `wait` again and again, and shows what is missing in between."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        args = dict(self._task.args)
        waits = str(args.get("wait", False)).lower() in ("true", "yes", "on", "1")
        total = int(args.get("wait_timeout", 300))
        began = time.monotonic()
        while True:
            started = time.monotonic()
            left = max(1, int(total - (time.monotonic() - began)))
            slice_seconds = min(SLICE_SECONDS, left)
            found = execute(self, cluster_info, {**args, "wait_timeout": slice_seconds}, task_vars)
            passed = time.monotonic() - began
            final = set(found.get("missing") or ()) == set(found.get("refused") or ())
            if not waits or not found.get("failed") or final or passed >= total:
                if found.get("failed") and found.get("missing"):
                    found["msg"] = f"after {passed:.0f} s {found['msg']}"
                result.update(found)
                return result
            display.display(f"  {args.get('cluster')}: {passed:.0f} s: {'; '.join(found['missing'])}")
            # A slice ends early when nobody answers.
            time.sleep(max(0.0, SHORTEST_SLICE_SECONDS - (time.monotonic() - started)))
