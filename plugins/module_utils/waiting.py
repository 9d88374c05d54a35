# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait by watch: look, and look again whenever something watched has changed, until it is done or time is up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from .client import Api, ApiError, Unreachable
from .names import path

T = TypeVar("T")
# Watches can miss what happens between a look and their start; a look this often makes up for it.
LONGEST_SLEEP = 2.0
SHORTEST_SLEEP = 0.2


@dataclass(frozen=True)
class Watched:
    """A collection, and which of its objects."""

    path: str
    query: Mapping[str, str]


def wait(
    api: Api,
    namespace: str,
    selector: str,
    look: Callable[[], T],
    done: Callable[[T], bool],
    seconds: float,
    lock_kind: str = "Endpoints",
) -> T:
    """`wait_on` a cluster's pods, lock and users."""
    kinds = ("Pod", lock_kind, "ConfigMap")
    watched = [Watched(path(kind, namespace), {"labelSelector": selector}) for kind in kinds]
    return wait_on(api, watched, look, done, seconds)


def wait_on(
    api: Api, watched: Sequence[Watched], look: Callable[[], T], done: Callable[[T], bool], seconds: float
) -> T:
    """The last thing that `look` saw: done, or what there was when the time was up.

    A daemon thread for each watch lives until the process ends or its watch does; it only sets an event.
    """
    deadline = time.monotonic() + seconds
    seen = look()
    if done(seen) or seconds <= 0:
        return seen
    changed = threading.Event()
    for each in watched:
        threading.Thread(target=_note_changes, args=(api, each, seconds, changed), daemon=True).start()
    while not done(seen) and (left := deadline - time.monotonic()) > 0:
        changed.wait(min(LONGEST_SLEEP, left))
        changed.clear()
        seen = look()
        if not done(seen):
            time.sleep(min(SHORTEST_SLEEP, max(0.0, deadline - time.monotonic())))
    return seen


def _note_changes(api: Api, watched: Watched, seconds: float, changed: threading.Event) -> None:
    query = {**watched.query, "timeoutSeconds": str(int(seconds) + 1)}
    try:
        for _event in api.watch(watched.path, query):
            changed.set()
    except (ApiError, Unreachable):
        # Without a watch the regular looks remain.
        return
