"""Waiting for the postmaster: until it takes connections, until it has ended. Never without a limit."""

from __future__ import annotations

import asyncio
import signal

from pgherd.model.mapping import boottime
from pgherd.model.server import Process
from pgherd.postgres.errors import FenceRefused, StartFailed
from pgherd.postgres.link import FenceLink
from pgherd.postgres.observe import Observer


async def until_it_answers(observer: Observer, link: FenceLink, pid: int, limit: float) -> bool:
    """Until it takes connections; False after `limit` seconds. Raises StartFailed when it ends."""
    end = boottime() + limit
    while boottime() < end:
        seen = await observer.observe()
        if seen.process is Process.RUNNING:
            return True
        if (await link.state()).postgres_pid != pid:
            raise StartFailed("PostgreSQL ended while it was starting: its last lines on stderr say why")
        await asyncio.sleep(0.05)
    return False


async def fast_shutdown(link: FenceLink, limit: float) -> None:
    """Asks for one, and returns when it has ended or after `limit` seconds: what is left is for the killing pass."""
    ended = asyncio.Event()

    def note(pid: int, status: int) -> None:
        ended.set()

    link.on_exit(note)
    try:
        await link.signal(signal.SIGINT)
        await asyncio.wait_for(ended.wait(), limit)
    except (TimeoutError, FenceRefused):
        pass
    finally:
        link.forget_exit(note)
