"""What makes the fence run in time under pressure. All best effort: no privilege is required."""

from __future__ import annotations

import os
import resource

MCL_CURRENT = 1
MCL_FUTURE = 2
MCL_ONFAULT = 4
PRIORITY = -10


def lock_memory() -> bool:
    """Keep our pages in memory, so that killing never waits for the disk. Whether it worked.

    Future pages only without a limit: with one, a later allocation would fail, which is worse than a page fault.
    """
    import ctypes

    flags = MCL_CURRENT | MCL_ONFAULT
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY:
        flags |= MCL_FUTURE
    try:
        return bool(ctypes.CDLL(None, use_errno=True).mlockall(flags) == 0)
    except (OSError, AttributeError):
        return False


def raise_priority() -> bool:
    """Run before PostgreSQL does. Children go back to 0 (see processes.spawn). Whether it worked."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    except OSError:
        return False
    return True
