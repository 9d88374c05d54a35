"""Keeps the route as the decisions of this member want it (decide/route.py). Lives with the agent.

Level-triggered: a write that is lost, overtaken or undone by somebody is found at the next look. It is a
compare-and-swap on what was decided on, so that a late write of a former holder never takes the next one's place.
"""

from __future__ import annotations

import asyncio

from pgherd.decide.route import wanted
from pgherd.kubernetes.store import Conflict, RouteSeen, RouteStore, StoreError
from pgherd.model.route import Route
from pgherd.model.view import View
from pgherd.runtime.log import Changing, Log
from pgherd.runtime.state import State
from pgherd.runtime.waiting import Bell

LIMIT = 3.0
"""Seconds for a request to the API."""
RETRY = 0.5
SLEEP = 60.0


class Routing:
    def __init__(self, state: State, store: RouteStore, log: Log) -> None:
        self._state, self._store, self._log = state, store, log
        self._trouble = Changing(log, "warning", "route")
        self._seen: RouteSeen | None = None
        self._wanted: tuple[str, ...] | None = None
        self._wake = Bell()

    def decided(self, view: View, now: float) -> None:
        """Called with each decision."""
        if self._seen is None:
            return
        self._wanted = wanted(view, self._seen.addresses, now)
        if self._wanted != self._seen.addresses:
            self._wake.ring()

    async def watch(self) -> None:
        async for seen in self._store.follow():
            self._saw(seen)

    def _saw(self, seen: RouteSeen) -> None:
        """Also late news: a write on it is a conflict, after which it is read."""
        if seen != self._seen:
            self._seen, self._wanted = seen, None  # what was wanted was said of the route as it was
            self._state.decide.ring()

    async def run(self) -> None:
        while True:
            if self._seen is None or self._wanted is None or self._wanted == self._seen.addresses:
                await self._wake.wait(SLEEP)
            elif not await self._write(self._seen, self._wanted):
                await asyncio.sleep(RETRY)

    async def _write(self, seen: RouteSeen, addresses: tuple[str, ...]) -> bool:
        """Whether the API confirmed it, or said how things are now."""
        own = self._state.identity
        # More than one address, or another's, only ever leaves the route: nobody sends clients to somebody else.
        route = Route(own.address, own.member, own.uid) if own.address in addresses else None
        try:
            after = await self._store.write(route, seen.version, LIMIT)
        except Conflict:
            return await self._read()
        except StoreError as error:
            self._trouble(f"the route was not changed: {error}")
            return False
        self._trouble("")
        self._log.info("route", f"clients are sent to {', '.join(after.addresses) or 'nobody'}")
        self._saw(after)
        return True

    async def _read(self) -> bool:
        try:
            self._saw(await self._store.read(LIMIT))
        except StoreError:
            return False
        return True
