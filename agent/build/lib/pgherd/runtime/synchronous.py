"""`synchronous_standby_names` as the newest Require orders, and what of it was proved. Lives with the agent.

One order after the other: what an earlier one began is never written after a later one. From the moment at which
another setting is ordered nothing counts as enforced until it is proved (S3).
"""

from __future__ import annotations

import asyncio

from pgherd.model.actions import Require
from pgherd.model.server import Process
from pgherd.model.synchronous import Enforced, Rule
from pgherd.model.view import TaskKind
from pgherd.runtime.log import Changing, Log
from pgherd.runtime.ports import Postgres
from pgherd.runtime.state import State
from pgherd.runtime.waiting import Bell

SLEEP = 60.0
RETRY = 0.2


class Requirement:
    def __init__(self, state: State, server: Postgres, log: Log) -> None:
        self._state, self._server, self._log = state, server, log
        self._trouble = Changing(log, "warning", "synchronous")
        self._wanted: Rule | None = None
        self._said: Rule | None = None
        self._wake = Bell()

    def order(self, action: Require) -> None:
        if action.rule != self._wanted:
            self._wanted = action.rule
            self._state.enforced = None
        if self._due():
            self._wake.ring()

    def _due(self) -> bool:
        server, task = self._state.server, self._state.task
        if self._wanted is None or server is None or server.process is not Process.RUNNING:
            return False
        if task is not None and task.kind is not TaskKind.PROMOTE:
            return False
        proved = self._state.enforced
        return proved is None or proved.rule != self._wanted

    async def run(self) -> None:
        while True:
            await self._wake.wait(SLEEP)
            while self._due():
                await self._enforce()

    async def _enforce(self) -> None:
        assert self._wanted is not None
        wanted, instance = self._wanted, self._state.starts
        try:
            flushed = await self._server.require(wanted, self._state.configuration)
            self._trouble("")
        except Exception as error:  # PostgreSQL may end at any moment
            self._trouble(f"synchronous_standby_names is not in force yet: {type(error).__name__}: {error}")
            await asyncio.sleep(RETRY)
            return
        if wanted == self._wanted and instance == self._state.starts:
            self._state.enforced = Enforced(wanted, flushed)
            self._say(wanted)
        self._state.decide.ring()

    def _say(self, rule: Rule) -> None:
        if rule != self._said:
            self._said = rule
            names = ", ".join(each.member for each in rule.standbys)
            some = f"{rule.votes} of " if rule.votes < len(rule.standbys) else ""
            self._log.info("synchronous", f"every commit waits for {some}{names or 'no standby'}")
