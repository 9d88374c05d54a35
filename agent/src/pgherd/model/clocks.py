"""The wall clock beside the boot-time clock: only their distance shows that a machine stood still while it was moved.

Standard library only, because the fence imports it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from pgherd.model.mapping import boottime

AT_ONCE = 0.005
"""Seconds within which both clocks are read: a process that was put aside in between would see a step that is none."""
TRIES = 3


def distance(otherwise: float | None, wall: Callable[[], float] = time.time,
             boot: Callable[[], float] = boottime) -> float:  # fmt: skip
    """Wall clock minus boot-time clock, in seconds; `otherwise` when they could not be read together."""
    for _ in range(TRIES):
        before, read, after = boot(), wall(), boot()
        if after - before <= AT_ONCE:
            break
    else:
        if otherwise is not None:
            return otherwise
    return read - after
