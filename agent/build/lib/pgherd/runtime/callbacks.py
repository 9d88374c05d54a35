"""`postgresql.callbacks`: told what PostgreSQL has become, as Patroni tells it (COMMAND ACTION ROLE CLUSTER).

Derived from what is observed, and what was told last is kept in a file beside the container's: so that an agent that
dies in between tells it later, and one that starts anew tells nothing twice. Lives with the agent. Never two at once:
a newer one takes the place of the one that runs, but for on_reload, which waits for it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from pgherd.model.server import Process
from pgherd.runtime import hooks
from pgherd.runtime.log import Log
from pgherd.runtime.ports import Clock
from pgherd.runtime.state import State
from pgherd.runtime.waiting import Bell

SLEEP = 60.0


class Told(msgspec.Struct, frozen=True):
    """What the callbacks know."""

    role: str = ""
    """primary, standby_leader or replica, as it was last while it ran; empty before the first start."""
    runs: bool = False


def news(told: Told, role: str | None, stopped: bool, clean: bool) -> tuple[str | None, Told]:
    """The action to tell, and what is known after it. Pure.

    `role` is None while it is not settled; a postmaster that died without a shutdown was not stopped by anybody.
    """
    if stopped:
        if told.runs and clean:
            return "on_stop", Told(told.role, False)
        return None, told
    if role is None:
        return None, told
    if role != told.role and told.role:
        return "on_role_change", Told(role, True)
    if not told.runs:
        return "on_start", Told(role, True)
    return None, told


class Callbacks:
    def __init__(self, state: State, folder: Path, clock: Clock, log: Log) -> None:
        self._state, self._clock, self._log = state, clock, log
        self._path = folder / "callbacks"
        self._told = self._load()
        self._died = False
        """A running postmaster ended without a shutdown: its next start in the same role is a restart."""
        self._next: str | None = None
        self._reloads = False
        self._running: asyncio.Task[None] | None = None
        self._wake = Bell()

    def _role(self) -> str | None:
        """`primary` only once clients are sent here: a callback may move them, too."""
        server, known, own = self._state.server, self._state.knowledge, self._state.identity
        if server is None or server.process is not Process.RUNNING:
            return None
        if not server.primary and not self._state.leads_standbys:
            return "replica"
        leads = "primary" if server.primary else "standby_leader"
        published = known.held is not None and known.record is not None and known.record.address == own.address
        return leads if published else None

    def check(self) -> None:
        """Called with each decision."""
        server = self._state.server
        if server is None:
            return
        stopped, role = server.process is Process.STOPPED, self._role()
        self._died = self._told.runs and (self._died or (stopped and not server.clean))
        action, told = news(self._told, role, stopped, server.clean and not self._died)
        if action is None and role is not None and self._died:
            action, self._died = "on_restart", False
        if told != self._told:
            self._keep(told)
        if action is not None:
            self._died = False
            self._next = action
            if self._running is not None:
                self._running.cancel()
            self._wake.ring()

    def reloaded(self) -> None:
        """A changed configuration was loaded."""
        self._reloads = True
        self._wake.ring()

    async def run(self) -> None:
        while True:
            await self._wake.wait(SLEEP)
            while self._next is not None or self._reloads:
                action, self._next = self._next, None
                if action is None:
                    action, self._reloads = "on_reload", False
                self._running = asyncio.create_task(self._call(action), name=action)
                await asyncio.wait({self._running})
                self._running = None

    async def _call(self, action: str) -> None:
        configuration = self._state.configuration
        command = configuration.postgresql.callbacks.get(action)
        if command is None:
            return
        words = (action, self._told.role or "replica", self._state.settings.cluster)
        try:
            await hooks.execute(action, command, words, configuration.hook_timeout, self._clock, self._log)
        except hooks.HookFailed:
            pass  # said already; nothing depends on it

    def _keep(self, told: Told) -> None:
        self._told = told
        try:
            self._path.write_bytes(msgspec.json.encode(told))
        except OSError as error:
            self._log.warning("callbacks-file", f"cannot keep what callbacks were told: {error}")

    def _load(self) -> Told:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Told)
        except (OSError, msgspec.MsgspecError):
            return Told()
