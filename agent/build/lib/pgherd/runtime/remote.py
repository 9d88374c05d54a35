"""What the remote primary of a standby cluster says of itself, for the member that holds the lease.

Lives with the agent. Asks only while the answer may change a decision: not while WAL streams from there.
"""

from __future__ import annotations

import asyncio

from pgherd.model.standby import REMOTE, RemoteSeen, StandbyCluster
from pgherd.runtime.log import Changing, Log
from pgherd.runtime.ports import Clock, Postgres
from pgherd.runtime.state import State
from pgherd.runtime.tasks import NoSource, Tasks
from pgherd.runtime.waiting import Bell

LIMIT = 15.0
"""Seconds for one question."""
SOON = 0.2
"""Seconds between two questions at least."""
SLEEP = 60.0


class Remote:
    def __init__(self, state: State, server: Postgres, tasks: Tasks, clock: Clock, log: Log) -> None:
        self._state, self._server, self._tasks, self._clock = state, server, tasks, clock
        self._trouble = Changing(log, "warning", "remote-primary")
        self._wake = Bell()

    def check(self) -> None:
        """Called with each decision."""
        if self._due():
            self._wake.ring()

    def _due(self) -> bool:
        """A word is missing, older than what it is to be compared with, or of a while ago."""
        state = self._state
        wanted, seen = state.configuration.standby_cluster, state.remote
        if wanted is None or not wanted.host or state.knowledge.held is None or state.task is not None:
            return False
        if seen is None or seen.of != wanted:
            return True
        server, age = state.server, self._clock() - seen.asked
        if server is not None and server.streaming and server.following == REMOTE:
            return False
        stands = state.stalled_since is not None and seen.asked < state.stalled_since
        return age > (SOON if stands and seen.line is not None else state.configuration.loop_wait)

    async def run(self) -> None:
        while True:
            await self._wake.wait(SLEEP)
            wanted = self._state.configuration.standby_cluster
            if wanted is None or not self._due():
                continue
            self._state.remote = await self._ask(wanted)
            self._trouble(self._state.remote.why)
            self._state.decide.ring()
            await asyncio.sleep(SOON)

    async def _ask(self, wanted: StandbyCluster) -> RemoteSeen:
        began = self._clock()
        try:
            source = self._tasks.source(REMOTE)
            assert source is not None
            async with asyncio.timeout(LIMIT):
                return RemoteSeen(wanted, began, await self._server.line(source))
        except NoSource as error:
            return RemoteSeen(wanted, began, None, str(error))
        except TimeoutError:
            return RemoteSeen(wanted, began, None, f"no answer within {LIMIT:g} s")
        except Exception as error:  # whatever went wrong there, it is only no word
            return RemoteSeen(wanted, began, None, f"{type(error).__name__}: {error}")
