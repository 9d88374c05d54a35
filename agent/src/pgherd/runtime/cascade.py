"""The slots of a standby from which other members stream, as the newest KeepCascade orders. Lives with the agent."""

from __future__ import annotations

import asyncio

from pgherd.model.actions import KeepCascade
from pgherd.runtime.log import Changing, Log
from pgherd.runtime.ports import Clock, Postgres
from pgherd.runtime.waiting import Bell

LIMIT = 6.0
SLEEP = 60.0
AGAIN = 10.0
"""Seconds after which slots are looked at although nothing changed: PostgreSQL may have been restarted without them."""


class Cascade:
    def __init__(self, server: Postgres, clock: Clock, log: Log) -> None:
        self._server, self._clock = server, clock
        self._trouble = Changing(log, "warning", "cascade")
        self._ordered: tuple[str, ...] | None = None
        self._kept: tuple[str, ...] | None = None
        self._at = 0.0
        self._wake = Bell()

    def order(self, action: KeepCascade) -> None:
        self._ordered = action.slots
        if self._due():
            self._wake.ring()

    def _due(self) -> bool:
        if self._ordered is None:
            return False
        return self._ordered != self._kept or self._clock() >= self._at + AGAIN

    async def run(self) -> None:
        while True:
            await self._wake.wait(SLEEP)
            names, self._at = self._ordered, self._clock()
            if names is None:
                continue
            try:
                async with asyncio.timeout(LIMIT):
                    await self._server.keep_cascade(names)
                self._kept = names
                self._trouble("")
            except Exception as error:  # PostgreSQL may end at any moment; tried again after AGAIN
                self._kept = names
                self._trouble(f"slots for cascaded members will be tried again: {type(error).__name__}: {error}")
