"""Replication slots of the running server, primary or standby: a pass now and then, at once when other ones are wanted.

Lives with the agent. Holds nothing up: a pass that takes long is only a pass later.
"""

from __future__ import annotations

import asyncio

from pgherd.model.server import Process
from pgherd.model.slots import SlotOrders, SlotsSeen
from pgherd.postgres.source import Source
from pgherd.runtime.log import Changing, Log
from pgherd.runtime.ports import Clock, Postgres
from pgherd.runtime.state import State
from pgherd.runtime.tasks import NoSource, Tasks
from pgherd.runtime.waiting import Bell

PASS = 60.0
"""Seconds for one pass: a logical slot waits for running transactions."""
SLEEP = 60.0
CALM = 3.0
"""Rounds of loop_wait between two passes of a standby whose slots are all right."""


class Slots:
    def __init__(self, state: State, server: Postgres, tasks: Tasks, clock: Clock, log: Log) -> None:
        self._state, self._server, self._tasks, self._clock = state, server, tasks, clock
        self._trouble = Changing(log, "warning", "slots")
        self._states = Changing(log, "warning", "slot-state")
        self._orders: SlotOrders | None = None
        self._done: tuple[object, ...] | None = None
        self._at = 0.0
        self._wake = Bell()

    def order(self, orders: SlotOrders | None) -> None:
        """Called with each decision. None: no moment for slots; what was seen as another server no longer counts."""
        self._orders = orders
        if orders is None:
            self._done = None
            server = self._state.server
            if server is None or server.process is not Process.RUNNING or server.primary != self._state.slots.primary:
                self._state.slots = SlotsSeen()
        elif self._due():
            self._wake.ring()

    def _due(self) -> bool:
        if self._orders is None:
            return False
        calm = not self._orders.primary and not self._state.slots.troubles
        again = self._at + (CALM if calm else 0.8) * self._state.configuration.loop_wait
        return self._orders.shape != self._done or self._clock() >= again

    async def run(self) -> None:
        while True:
            await self._wake.wait(SLEEP)
            orders = self._orders
            if orders is None or not self._due():
                continue
            self._at, self._done = self._clock(), orders.shape
            try:
                async with asyncio.timeout(PASS):
                    self._saw(orders, await self._server.keep_slots(orders, self._source(orders)))
                self._trouble("")
            except Exception as error:  # PostgreSQL may end at any moment; the next turn tries again
                self._trouble(f"the slots will be looked after again: {type(error).__name__}: {error}")

    def _source(self, orders: SlotOrders) -> Source | None:
        record = self._state.knowledge.record
        if orders.primary or record is None or record.leader in (None, self._state.identity.member):
            return None
        try:
            return self._tasks.source(record.leader)
        except NoSource:
            return None

    def _saw(self, orders: SlotOrders, seen: SlotsSeen) -> None:
        """A pass of a server that has become something else meanwhile says nothing of this one."""
        if self._orders is None or self._orders.primary != orders.primary:
            return
        if seen != self._state.slots:
            self._state.slots = seen
            self._state.decide.ring()
        self._states("; ".join(f"slot {name}: {text}" for name, text in sorted(seen.troubles.items())))
