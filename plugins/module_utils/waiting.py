# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait by watch: look, and look again whenever a pod or the lock changed, until nothing is missing or time is up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from .client import Api, ApiError, Unreachable
from .names import path

T = TypeVar("T")
# Watches can miss what happens between a look and their start; a look this often makes up for it.
LONGEST_SLEEP = 2.0
SHORTEST_SLEEP = 0.2


def wait(
    api: Api,
    namespace: str,
    selector: str,
    look: Callable[[], T],
    done: Callable[[T], bool],
    seconds: float,
    lock_kind: str = "Endpoints",
) -> T:
    """The last thing that `look` saw: done, or what there was when the time was up.

    Two daemon threads live until the process ends or their watch does; both only set an event.
    """
    deadline = time.monotonic() + seconds
    seen = look()
    if done(seen) or seconds <= 0:
        return seen
    changed = threading.Event()
    for kind in ("Pod", lock_kind, "ConfigMap"):
        arguments = (api, path(kind, namespace), selector, seconds, changed)
        threading.Thread(target=_note_changes, args=arguments, daemon=True).start()
    while not done(seen) and (left := deadline - time.monotonic()) > 0:
        changed.wait(min(LONGEST_SLEEP, left))
        changed.clear()
        seen = look()
        time.sleep(min(SHORTEST_SLEEP, max(0.0, deadline - time.monotonic())))
    return seen


def _note_changes(api: Api, where: str, selector: str, seconds: float, changed: threading.Event) -> None:
    query = {"labelSelector": selector, "timeoutSeconds": str(int(seconds) + 1)}
    try:
        for _event in api.watch(where, query):
            changed.set()
    except (ApiError, Unreachable):
        # Without a watch the regular looks remain.
        return
