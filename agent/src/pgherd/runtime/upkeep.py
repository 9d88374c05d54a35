"""What is kept up to date beside the lease: role label, configuration, `initialize`.

Nothing here decides who is primary, and nothing here may hold the lease's renewal up: each job is a loop of
its own with bounded steps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pgherd.kubernetes.store import Conflict, StoreError, Stores
from pgherd.model.actions import CutOff, Follow, SetInitialize
from pgherd.model.server import Process
from pgherd.model.settings import Configuration, InvalidSetting
from pgherd.model.tags import on
from pgherd.postgres.source import Source
from pgherd.runtime import cut_off
from pgherd.runtime.log import Changing, Log
from pgherd.runtime.ports import Clock, Postgres
from pgherd.runtime.state import State
from pgherd.runtime.tasks import NoSource, Tasks
from pgherd.runtime.waiting import Bell

LIMIT = 3.0
"""Seconds for a request to the API."""
RETRY = 1.0
SLEEP = 60.0
"""Seconds after which a loop looks around although nobody woke it."""
RELOAD = 25.0
"""Seconds for one reload: PostgreSQL reads the new files twice, once to try them."""
REFUSED_AGAIN = 60.0
"""Seconds after which a refused configuration is tried again: what was missing may have been installed."""


class Initialize:
    """The annotation `initialize` by compare-and-swap; one at a time (S7)."""

    def __init__(self, state: State, stores: Stores, log: Log) -> None:
        self._state, self._store, self._log = state, stores.config, log
        self._task: asyncio.Task[None] | None = None

    def order(self, action: SetInitialize) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write(action), name="initialize")

    async def _write(self, action: SetInitialize) -> None:
        try:
            seen = await self._store.read(LIMIT)
            if seen.version and seen.initialize == action.expected:
                seen = await self._store.write({"initialize": action.value}, seen.version, LIMIT)
                self._log.info("initialize", f"initialize: {action.expected} -> {action.value}")
            elif not seen.version:
                await asyncio.sleep(RETRY)  # the decision would order it again at once
            self._state.saw_config(seen)
        except Conflict:
            self._state.decide.ring()
        except StoreError as error:
            self._log.warning("initialize", f"initialize was not written: {error}")
            await asyncio.sleep(RETRY)
            self._state.decide.ring()


class Role:
    """The pod's label `role`, so that Service `<cluster>-replicas` selects who is one. Lives with the agent."""

    def __init__(self, state: State, stores: Stores, clock: Clock, log: Log) -> None:
        self._state, self._store, self._clock, self._log = state, stores.pods, clock, log
        self._trouble = Changing(log, "warning", "role-label")
        self._wake = Bell()

    def check(self) -> None:
        """Called with each decision: wakes the loop when the label is not what it should be."""
        pod = self._state.own_pod()
        if pod is not None and self.wanted() not in (None, pod.role):
            self._wake.ring()

    def wanted(self) -> str | None:
        """`primary` (or what `kubernetes.primary_role` says) once the address is published, also of a standby leader;
        `replica` for a running standby (`noloadbalance` where its tag says so: the replicas' Service does not select
        it), else no opinion."""
        server, known = self._state.server, self._state.knowledge
        if server is None or server.process is not Process.RUNNING:
            return None
        if not server.primary and not self._state.leads_standbys:
            own = self._state.tags.get(self._state.identity.member, {})
            return "noloadbalance" if on(own, "noloadbalance") else "replica"
        published = known.record is not None and known.record.address == self._state.identity.address
        return self._state.settings.kubernetes.primary_role if known.held is not None and published else None

    async def run(self) -> None:
        while True:
            wanted, pod = self.wanted(), self._state.own_pod()
            if wanted is not None and pod is not None and pod.role != wanted:
                await self._label(wanted)
                await asyncio.sleep(RETRY)  # the watch shows it by then
            await self._wake.wait(SLEEP)

    async def _label(self, role: str) -> None:
        try:
            await self._store.label(self._state.identity.member, role, LIMIT)
            self._trouble("")
        except StoreError as error:
            self._trouble(f"the label role={role} was not set: {error}")


class Following:
    """Points a running standby where it should stream from, and again when that member's address changes."""

    def __init__(self, state: State, server: Postgres, tasks: Tasks, log: Log) -> None:
        self._state, self._server, self._tasks, self._log = state, server, tasks, log
        self._trouble = Changing(log, "warning", "follow")
        self._task: asyncio.Task[None] | None = None
        self._pointed: Source | None = None

    def order(self, action: Follow | CutOff) -> None:
        if self._task is not None and not self._task.done():
            return
        if isinstance(action, CutOff):
            self._task = asyncio.create_task(self._cut_off(action.nonce), name="cut-off")
        else:
            self._state.cut_off = ""
            self._task = asyncio.create_task(self._follow(action.source), name="follow")

    async def _cut_off(self, nonce: str) -> None:
        """Remembered on the volume first: not even another agent lets WAL in again under this lease (S3)."""
        try:
            self._state.barred_nonce = nonce
            await asyncio.to_thread(cut_off.remember, self._state.settings, nonce)
            async with asyncio.timeout(10.0):
                await self._server.cut_off(self._state.configuration)
            await self._tasks.look()  # the position that counts is one of afterwards
            self._state.cut_off = nonce
            self._log.info("cut-off", "the WAL receiver has ended for good under this lease")
            self._trouble("")
        except Exception as error:  # the next decision orders it again
            self._trouble(f"the WAL receiver is not cut off: {type(error).__name__}: {error}")
            await asyncio.sleep(RETRY)
        self._state.decide.ring()

    async def _follow(self, member: str | None) -> None:
        try:
            source = self._tasks.source(member)
            async with asyncio.timeout(10.0):
                await self._server.follow(source, self._state.configuration)
            self._pointed = source
            self._log.info("follow", f"following {member or 'nobody'}")
            self._trouble("")
        except NoSource as error:
            self._trouble(str(error))
            await asyncio.sleep(RETRY)
        except Exception as error:  # the next decision orders it again
            self._trouble(f"cannot follow {member}: {type(error).__name__}: {error}")
            await asyncio.sleep(RETRY)
        self._state.look.ring()

    def check(self) -> None:
        """Called with each decision: the followed pod may have come back with another address, and how the remote
        primary is reached, or `restore_command`, may have changed."""
        server = self._state.server
        if server is None or server.primary or server.process is not Process.RUNNING or server.following is None:
            return
        if self._state.task is not None or self._state.cut_off:
            return
        try:
            source = self._tasks.source(server.following)
        except NoSource:
            return
        if source is not None and source != self._pointed:
            self.order(Follow(server.following))


def _of_postgresql(configuration: Configuration) -> tuple[object, ...]:
    """What the server's files are made of."""
    return configuration.postgresql, configuration.permanent


class Reload:
    """Brings a changed dynamic configuration into the running server. Lives with the agent."""

    def __init__(
        self, state: State, server: Postgres, clock: Clock, log: Log, reloaded: Callable[[], None]
    ) -> None:  # fmt: skip
        self._state, self._server, self._clock, self._reloaded = state, server, clock, reloaded
        self._trouble = Changing(log, "warning", "reload")
        self._applied: Configuration | None = None
        self._refused: Configuration | None = None
        self._again = 0.0
        self._wake = Bell()

    def _due(self) -> bool:
        wanted, server = self._state.configuration, self._state.server
        if server is None or server.process is not Process.RUNNING:
            self._applied = None  # a start may use less than what is configured
            return False
        if self._state.task is not None:
            return False
        if self._refused is not None:  # also when it is taken back: nobody should read of it any more
            return wanted != self._refused or self._clock() >= self._again
        return self._applied is None or _of_postgresql(self._applied) != _of_postgresql(wanted)

    def in_force(self) -> bool:
        """Whether the running server has what is configured, as far as it can without a restart."""
        return self._applied is not None and _of_postgresql(self._applied) == _of_postgresql(self._state.configuration)

    def check(self) -> None:
        """Called with each decision."""
        if self._due():
            self._wake.ring()

    async def run(self) -> None:
        while True:
            await self._wake.wait(SLEEP)
            if not self._due():
                continue
            wanted = self._state.configuration
            try:
                async with asyncio.timeout(RELOAD):
                    await self._server.reload(wanted)
                if self._applied is not None:
                    self._reloaded()
                self._applied, self._refused = wanted, None
                self._trouble("")
                self._state.look.ring()
            except InvalidSetting as error:
                self._refused, self._again = wanted, self._clock() + REFUSED_AGAIN
                self._trouble(f"the configuration before it stays in force: {error}")
                self._state.look.ring()
            except Exception as error:  # tried again in a second
                self._trouble(f"the configuration was not loaded: {type(error).__name__}: {error}")
                await asyncio.sleep(RETRY)
