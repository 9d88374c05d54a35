"""Holds clients back while the primary changes, and lets them go on as soon as there is one to go on with.

Whoever asks for a pause may die, or think better of it: the pause ends when another run of a server accepts writes
where this pod's clients are led, and after LONGEST seconds in any case.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from pgherd.pooler.server import Identity

LONGEST = 15.0
"""Seconds of a pause at most; then clients see what is there."""
PATIENCE = 0.8
"""Seconds that open transactions get before the asker is told that they go on."""
EVERY = 0.05

Console = Callable[[str], Awaitable[None]]
"""PAUSE or RESUME; the latter does nothing where nothing is paused."""
Look = Callable[[], Awaitable[Identity | None]]
"""The server that accepts writes where clients are led."""


class NoPrimary(Exception):
    """There is nothing to pause: no server accepts writes."""


class Pausing:
    """`state` is running, waiting (for open transactions) or paused. Lives with the process."""

    def __init__(self, console: Console, look: Look, clock: Callable[[], float], say: Callable[[str], None]) -> None:
        self._console, self._look, self._clock, self._say = console, look, clock, say
        self._lock = asyncio.Lock()
        self._pause: asyncio.Task[None] | None = None
        self._until: asyncio.Task[None] | None = None

    @property
    def state(self) -> str:
        if self._until is None:
            return "running"
        return "paused" if self._pause is not None and self._pause.done() else "waiting"

    async def pause(self) -> str:
        """The state after PATIENCE seconds at most. Twice is once. Raises NoPrimary; the console's error."""
        async with self._lock:
            if self._until is None:
                await self._begin()
            assert self._pause is not None
            done, _ = await asyncio.wait({self._pause}, timeout=PATIENCE)
            if done and self._pause.exception() is not None:
                error = self._pause.exception()
                await self.close()
                raise error or AssertionError
            return self.state

    async def _begin(self) -> None:
        before = await self._look()
        if before is None:
            raise NoPrimary("no server accepts writes where clients are led")
        self._pause = asyncio.create_task(self._hold(), name="pause")
        self._until = asyncio.create_task(self._release(before), name="release")

    async def _hold(self) -> None:
        await self._console("PAUSE")

    async def _release(self, before: Identity) -> None:
        began = self._clock()
        while (left := LONGEST - (self._clock() - began)) > 0:
            await asyncio.sleep(EVERY)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    now = await self._look()
                    if now is not None and now != before:
                        break
        await self._end()
        took = self._clock() - began
        self._say(f"clients were held back for {took:.2f} s" + ("" if left > 0 else ": no other primary came"))

    async def _end(self) -> None:
        """Again and again: clients that nobody lets go wait for ever."""
        while True:
            try:
                await self._console("RESUME")
                break
            except Exception as error:  # the console is PgBouncer's: whatever it says now, it must take it later
                self._say(f"RESUME will be tried again: {error}")
                await asyncio.sleep(EVERY * 10)
        if self._pause is not None:
            self._pause.cancel()
            await asyncio.gather(self._pause, return_exceptions=True)
        self._pause = self._until = None

    async def close(self) -> None:
        """Let everybody go on, now."""
        if self._until is not None:
            self._until.cancel()
            await asyncio.gather(self._until, return_exceptions=True)
            await self._end()
