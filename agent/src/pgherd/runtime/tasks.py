"""Long actions on PostgreSQL: at most one at a time, and the decision sees it as state.

Kill and Stop take the place of what runs, except of a promotion: one that was sent cannot be recalled, so
the killing pass runs beside it and the promotion then ends by itself (ha-protocol §5). After a task has
ended PostgreSQL is looked at before the task disappears from the view, so that no decision sees neither
the task nor its effect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from pgherd.model.actions import Action, Clone, Initialise, Kill, Promote, Rewind, Start, Stop
from pgherd.model.position import Position
from pgherd.model.slots import slot_name
from pgherd.model.view import Task, TaskKind
from pgherd.postgres.source import Source
from pgherd.runtime.log import Log
from pgherd.runtime.ports import Clock, Postgres
from pgherd.runtime.state import State

HOUR = 3600.0
KINDS: dict[type[Action], TaskKind] = {
    Initialise: TaskKind.INITIALISE,
    Clone: TaskKind.CLONE,
    Rewind: TaskKind.REWIND,
    Start: TaskKind.START,
    Promote: TaskKind.PROMOTE,
    Stop: TaskKind.STOP,
    Kill: TaskKind.KILL,
}


class NoSource(RuntimeError):
    """The member to clone from, rewind to or follow has no pod with an address."""


class Tasks:
    def __init__(
        self, state: State, server: Postgres, observe: Callable[[], Awaitable[None]], clock: Clock, log: Log,
        writable: Callable[[Position | None], None],
    ) -> None:  # fmt: skip
        self._state, self._server, self._observe, self._clock, self._log = state, server, observe, clock, log
        self._writable = writable
        self._running: asyncio.Task[None] | None = None

    def order(self, action: Action) -> None:
        """Level-triggered: what is under way already, or may not be interrupted, is left alone."""
        kind, now = KINDS[type(action)], self._state.task
        if now is not None:
            stronger = kind is TaskKind.KILL or (kind is TaskKind.STOP and now.kind is not TaskKind.PROMOTE)
            if now.kind in (kind, TaskKind.KILL) or not stronger:
                return
        before, self._running = self._running, None
        self._state.task = Task(kind, self._clock(), getattr(action, "source", None))
        self._running = asyncio.create_task(self._run(action, self._state.task, before, now), name=kind.value)

    async def look(self) -> None:
        """At PostgreSQL, now."""
        await self._observe()

    def source(self, member: str | None) -> Source | None:
        """Where to stream from. Raises NoSource when that member has no address."""
        if member is None:
            return None
        pods = (seen.pod for seen in self._state.pods or () if seen.pod.member == member)
        address = next((pod.address for pod in pods if pod.address), None)
        if address is None:
            raise NoSource(f"{member} has no pod with an address")
        return Source(member, address, self._state.settings.postgres.port, slot_name(self._state.identity.member))

    async def close(self) -> None:
        """Leave what runs to the fence: it kills the half-done before the next agent starts."""
        if self._running is not None and not self._running.done():
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self, action: Action, task: Task, before: asyncio.Task[None] | None, what: Task | None) -> None:
        if before is not None and not before.done() and what is not None and what.kind is not TaskKind.PROMOTE:
            before.cancel()
            await asyncio.gather(before, return_exceptions=True)
        self._log.info("task", f"{task.kind.value}{f' ({task.target})' if task.target else ''}")
        try:
            limit, work = self._work(action)
            async with asyncio.timeout(limit):
                await work
        except asyncio.CancelledError:
            raise
        except Exception as error:  # a task's failure is an observation, whatever it was
            self._failed(task, error)
        else:
            took = self._clock() - task.started
            self._log.info("task-done", f"{task.kind.value} took {took:.2f} s", seconds=round(took, 3))
            if task.kind is TaskKind.REWIND:
                # Forgotten once it streams; until then this rung is used up, whatever pg_rewind said.
                self._state.failed(task.kind, task.target, self._clock(), "it was rewound, and has diverged still")
        if before is not None and not before.done():
            before.cancel()
            await asyncio.gather(before, return_exceptions=True)
        try:
            await self._observe()
        finally:
            if self._state.task is task:
                self._state.task = None
                self._state.decide.ring()

    def _failed(self, task: Task, error: Exception) -> None:
        text = str(error) or type(error).__name__
        if isinstance(error, TimeoutError):
            text = f"not done within its time limit: {text}"
        self._log.error("task-failed", f"{task.kind.value} failed: {text}", kind=type(error).__name__)
        if self._state.task is task:
            self._state.failed(task.kind, task.target, self._clock(), text)

    def _work(self, action: Action) -> tuple[float, Coroutine[Any, Any, Any]]:
        """The time limit (seconds) and the work of an action."""
        server, configuration = self._server, self._state.configuration
        match action:
            case Initialise():
                return configuration.primary_start_timeout, server.initialise()
            case Clone(source=member, replace=replace):
                return 12 * HOUR, server.clone(self._known(member), replace)
            case Rewind(source=member):
                return 2 * HOUR, server.rewind(self._known(member))
            case Start(writable=writable, source=member):
                limit = configuration.primary_start_timeout
                return limit, self._start(writable, self.source(member))
            case Promote(timeline=timeline):
                return configuration.primary_start_timeout, self._promote(timeline)
            case Stop(timeout=timeout):
                return timeout + 10.0, server.stop(timeout)
            case Kill():
                return HOUR, server.kill()
        raise TypeError(f"not a task: {action!r}")

    def _known(self, member: str) -> Source:
        source = self.source(member)
        assert source is not None
        return source

    async def _start(self, writable: bool, source: Source | None) -> None:
        await self._server.start(writable, source, self._state.configuration)
        if writable:
            self._writable(None)

    async def _promote(self, timeline: int) -> None:
        self._writable(await self._server.promote(timeline))
