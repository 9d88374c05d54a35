"""Eyes on the own PostgreSQL: what it is (Observer), and whether it works (Prober)."""

from __future__ import annotations

import asyncio

from pgherd.model import knowledge as k
from pgherd.model.server import Health, Process
from pgherd.runtime.ports import Clock, Postgres
from pgherd.runtime.state import State
from pgherd.runtime.waiting import Bell

CALM = 1.0
"""Seconds between two looks where commits may wait for a standby that is gone."""
SERENE = 3.0
"""The same where nothing is expected and nobody waits; a shorter `loop_wait` counts instead. Each renewal of the lease
and each question of a peer is a look, too."""
TENSE = 0.15
"""The same while something is: a task, a start, a lease without a holder."""


class Observer:
    """Lives as long as the agent. Looks at once when `state.look` rings (child exit, lease event, task end)."""

    def __init__(self, state: State, server: Postgres, clock: Clock) -> None:
        self._state, self._server, self._clock = state, server, clock
        self._one = asyncio.Lock()
        self._observed = 0.0

    async def observe(self) -> None:
        """One look; never two at a time, since the server keeps one connection for it."""
        async with self._one:
            began = self._clock()
            server = await self._server.observe()
            self._observed = began
            self._state.saw_server(server, began)

    async def fresh(self, age: float) -> None:
        """Make sure that the last look began less than `age` seconds ago."""
        if self._clock() - self._observed > age:
            await self.observe()

    def interval(self) -> float:
        """Seconds until the next look, if nothing rings before."""
        state, record = self._state, self._state.knowledge.record
        starting = state.server is None or state.server.process in (Process.STARTING, Process.STOPPING)
        open_lease = record is None or record.free or record.handover is not None
        held = state.knowledge.held is not None
        expired = record is not None and self._clock() > (k.expires if held else k.takeable_at)(state.knowledge)
        if state.task or starting or open_lease or expired or state.terminating:
            return TENSE
        waits = held and state.configuration.synchronous
        return CALM if waits else max(CALM, min(SERENE, state.configuration.loop_wait))

    async def run(self) -> None:
        while True:
            await self.observe()
            await self._state.look.wait(self.interval())


class Prober:
    """Proof of health before each renewal, while this member holds the lease and PostgreSQL should answer (S4)."""

    PAUSE = 0.25
    """Seconds between a failed proof and the next try."""
    SLEEP = 60.0

    def __init__(self, state: State, server: Postgres, clock: Clock) -> None:
        self._state, self._server, self._clock = state, server, clock
        self._wake = Bell()
        self._sleeping_until = 0.0
        self._wanted = False

    def want(self) -> None:
        """A write of the lease waits for a proof: give it before its time."""
        self._wanted = True
        self.check()

    def check(self) -> None:
        """Called with each decision: wakes the loop when a proof is due earlier than it sleeps."""
        due = self.due()
        if due is not None and due < self._sleeping_until:
            self._wake.ring()

    def due(self) -> float | None:
        """Boot time of the next proof: shortly before the next renewal; None while none is needed."""
        held, server = self._state.knowledge.held, self._state.server
        if held is None or server is None or server.process is not Process.RUNNING:
            return None
        if not server.primary and not self._state.leads_standbys:
            return None
        loop_wait = self._state.configuration.loop_wait
        due = held.t0 + loop_wait - min(0.5, loop_wait / 4)
        if self._state.knowledge.record is None:
            due = held.t0  # the lock is lost, and made again as soon as this proves that PostgreSQL works
        health = self._state.health
        if health is None or health.checked < held.t0:
            return held.t0 if self._wanted else due
        return max(due, health.checked + (loop_wait / 2 if health.alive else self.PAUSE))

    async def run(self) -> None:
        while True:
            due, now = self.due(), self._clock()
            if due is None or due > now:
                self._sleeping_until = now + self.SLEEP if due is None else due
                await self._wake.wait(self._sleeping_until - now)
                continue
            self._wanted = False
            self._state.health = await self._probe()
            self._state.decide.ring()

    async def _probe(self) -> Health:
        began = self._clock()
        limit = 2 * self._state.configuration.retry_timeout + 1.0
        try:
            async with asyncio.timeout(limit):
                return await self._server.probe(self._state.configuration.retry_timeout)
        except TimeoutError:
            return Health(began, False, f"no answer within {limit:g} s")
