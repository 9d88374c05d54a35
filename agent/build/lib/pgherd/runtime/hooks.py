"""Programs of the user: hooks that something waits for, and callbacks that nothing waits for.

They come from the image or from mounted files, run in a session of their own with a time limit, and their output is
logged. Nothing that renews the lease ever waits for one.
"""

from __future__ import annotations

import os
import shlex

from pgherd.postgres.errors import PostgresError, ToolFailed
from pgherd.postgres.run import run
from pgherd.runtime.log import Log
from pgherd.runtime.ports import Clock

KEPT = 4000
"""Characters of output logged."""


class HookFailed(PostgresError):
    """It could not be started, did not end in time, or said no."""


async def execute(name: str, command: str, arguments: tuple[str, ...], limit: float, clock: Clock, log: Log) -> None:
    """Raises HookFailed. The agent's environment is the program's, without the fence's open files."""
    began = clock()
    try:
        output = await run([*shlex.split(command), *arguments], dict(os.environ), limit)
    except (ToolFailed, OSError) as error:
        log.warning("hook", f"{name}: {command}: {error}", seconds=round(clock() - began, 3))
        raise HookFailed(f"{name}: {command}: {error}") from None
    log.info("hook", f"{name}: {command}", seconds=round(clock() - began, 3), output=output[-KEPT:].strip())
