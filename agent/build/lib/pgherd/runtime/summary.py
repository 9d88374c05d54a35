"""Keeps ConfigMap `<cluster>-status` true while this member is the published primary. Lives with the agent.

Written when what it says has changed, lag aside, and at most once a minute: a cluster that is well costs no write. What
cannot be written is tried again a minute later; nothing waits for it.
"""

from __future__ import annotations

import math

import msgspec

from pgherd.kubernetes.store import StoreError, SummaryStore
from pgherd.model import summary as document
from pgherd.model.summary import Summary
from pgherd.runtime.log import Changing, Log, wall
from pgherd.runtime.ports import Clock
from pgherd.runtime.state import State
from pgherd.runtime.status import Status
from pgherd.runtime.waiting import Bell

LIMIT = 3.0
"""Seconds for a request to the API."""
EVERY = 60.0
"""Seconds between two writes at least."""
LOOK = 2.0
"""Seconds between two comparisons at least: decisions may follow each other closely."""


class Summaries:
    def __init__(self, state: State, status: Status, store: SummaryStore, clock: Clock, log: Log) -> None:
        self._state, self._status, self._store, self._clock = state, status, store, clock
        self._trouble = Changing(log, "warning", "status-object")
        self._written: Summary | None = None
        """What this agent, as this primary, has confirmed."""
        self._looked, self._tried = -math.inf, -math.inf
        self._wake = Bell()

    def check(self) -> None:
        """Called with each decision: wakes the loop when there is something new to say, and it may be said."""
        now = self._clock()
        if now - self._looked < LOOK or now - self._tried < EVERY:
            return
        self._looked = now
        if self._news() is not None:
            self._wake.ring()

    def _news(self) -> Summary | None:
        """What is to be written; None while this is no published primary, or nothing has changed."""
        own, lease = self._status.member(), self._status.lease()
        published = lease is not None and lease.address == self._state.identity.address
        if lease is None or not published or own.role != "primary" or own.holds_until <= 0:
            self._written = None
            return None
        state = self._state
        new = document.summary(state.settings, state.configuration, own, state.peers(), lease, wall())
        return None if self._written is not None and new.said() == self._written.said() else new

    async def run(self) -> None:
        while True:
            await self._wake.wait(EVERY)
            new = self._news()
            if new is None or self._clock() - self._tried < EVERY:
                continue
            self._tried = self._clock()
            try:
                before = self._written or document.read(await self._store.read(LIMIT))
                new = document.since(new, before)
                await self._store.write(msgspec.json.encode(new).decode(), LIMIT)
                self._written = new
                self._trouble("")
            except StoreError as error:
                self._trouble(f"the status object was not written: {error}")
