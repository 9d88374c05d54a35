"""Long actions on PostgreSQL: at most one at a time, and the decision sees it as state.

Kill and Stop take the place of what runs, except of a promotion: one that was sent cannot be recalled, so
the killing pass runs beside it and the promotion then ends by itself (ha-protocol §5). While only its hook
runs it was not sent. After a task has ended PostgreSQL is looked at before the task disappears from the view,
so that no decision sees neither the task nor its effect.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import msgspec

from pgherd.model.actions import (
    Action,
    Clone,
    Initialise,
    Kill,
    Promote,
    Reinitialise,
    Reload,
    Restart,
    Rewind,
    Start,
    Stop,
)
from pgherd.model.parameters import held_back, lower
from pgherd.model.position import Position
from pgherd.model.server import Process
from pgherd.model.settings import Configuration
from pgherd.model.slots import slot_name
from pgherd.model.standby import REMOTE
from pgherd.model.view import Task, TaskKind
from pgherd.postgres.source import Source
from pgherd.runtime import hooks
from pgherd.runtime.log import Log
from pgherd.runtime.ports import Clock, Postgres
from pgherd.runtime.state import State
from pgherd.runtime.tally import DONE, FAILED, REPLACED, TASK_SECONDS, TASKS

HOUR = 3600.0
CHECKPOINT = 20.0
"""Seconds for the checkpoint before a planned stop: clients still write meanwhile."""
KINDS: dict[type[Action], TaskKind] = {
    Initialise: TaskKind.INITIALISE,
    Clone: TaskKind.CLONE,
    Rewind: TaskKind.REWIND,
    Start: TaskKind.START,
    Promote: TaskKind.PROMOTE,
    Stop: TaskKind.STOP,
    Kill: TaskKind.KILL,
    Restart: TaskKind.RESTART,
    Reload: TaskKind.RELOAD,
    Reinitialise: TaskKind.REINITIALISE,
}


def _copying(configuration: Configuration) -> float:
    """Seconds for all methods, and for what is done to each one's copy."""
    return sum(method.time_limit + HOUR for method in configuration.clone_methods)


class NoSource(RuntimeError):
    """The member to clone from, rewind to or follow has no pod with an address."""


class Tasks:
    def __init__(
        self, state: State, server: Postgres, observe: Callable[[], Awaitable[None]],
        poll: Callable[[], Awaitable[None]], hold: Callable[[], Awaitable[None]], clock: Clock, log: Log,
        writable: Callable[[Position | None], None], ended: Callable[[str, str], None],
    ) -> None:  # fmt: skip
        self._state, self._server, self._clock, self._log = state, server, clock, log
        self._observe, self._poll, self._hold = observe, poll, hold
        self._writable, self._ended = writable, ended
        self._running: asyncio.Task[None] | None = None
        self._promotes = False
        """A promotion was sent to PostgreSQL, and its task has not ended."""

    def order(self, action: Action) -> None:
        """Level-triggered: what is under way already, or may not be interrupted, is left alone."""
        kind, now = KINDS[type(action)], self._state.task
        if now is not None:
            stronger = kind is TaskKind.KILL or (kind is TaskKind.STOP and not self._promotes)
            if now.kind in (kind, TaskKind.KILL) or not stronger:
                return
        before, recalled = self._running, not self._promotes
        if before is not None and recalled:
            before.cancel()  # here, not in the new task: its hook may end before that begins, and it would promote
        self._state.task = Task(kind, self._clock(), getattr(action, "source", None))
        self._running = asyncio.create_task(self._run(action, self._state.task, before, recalled), name=kind.value)

    async def look(self) -> None:
        """At PostgreSQL, now."""
        await self._observe()

    def source(self, member: str | None) -> Source | None:
        """Where to stream from: a member, or REMOTE. Raises NoSource when it has no address."""
        if member is None:
            return None
        if member == REMOTE:
            return self._remote()
        pods = (seen.pod for seen in self._state.pods or () if seen.pod.member == member)
        address = next((pod.address for pod in pods if pod.address), None)
        if address is None:
            raise NoSource(f"{member} has no pod with an address")
        postgresql = self._state.configuration.postgresql
        delay = str(lower(postgresql.parameters).get("recovery_min_apply_delay", ""))
        port, slot = self._state.settings.postgres.port, slot_name(self._state.identity.member)
        return Source(member, address, port, slot, postgresql.restore_command, recovery_min_apply_delay=delay)

    def _remote(self) -> Source:
        """What `standby_cluster` names. Raises NoSource when it was taken away meanwhile."""
        configuration = self._state.configuration
        standby = configuration.standby_cluster
        if standby is None:
            raise NoSource("standby_cluster is not in the configuration any more")
        return Source(
            REMOTE, standby.host, standby.port, standby.primary_slot_name,
            standby.restore_command or configuration.postgresql.restore_command, standby.archive_cleanup_command,
            str(standby.recovery_min_apply_delay), standby.sslmode,
        )  # fmt: skip

    async def close(self) -> None:
        """Leave what runs to the fence: it kills the half-done before the next agent starts."""
        if self._running is not None and not self._running.done():
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self, action: Action, task: Task, before: asyncio.Task[None] | None, recalled: bool) -> None:
        if before is not None and recalled and not before.done():
            await asyncio.gather(before, return_exceptions=True)
        self._log.info("task", f"{task.kind.value}{f' ({task.target})' if task.target else ''}")
        try:
            limit, work = self._work(action)
            async with asyncio.timeout(limit):
                await work
        except asyncio.CancelledError:
            self._count(task, REPLACED)
            self._ended(getattr(action, "request", ""), "something that could not wait took its place")
            raise
        except Exception as error:  # a task's failure is an observation, whatever it was
            self._count(task, FAILED)
            self._ended(getattr(action, "request", ""), self._failed(task, error))
        else:
            self._count(task, DONE)
            self._ended(getattr(action, "request", ""), "")
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

    def _count(self, task: Task, outcome: str) -> None:
        self._state.tally.add(TASKS, task.kind.value, outcome)
        self._state.tally.add(TASK_SECONDS, task.kind.value, by=max(0.0, self._clock() - task.started))

    def _failed(self, task: Task, error: Exception) -> str:
        text = str(error) or type(error).__name__
        if isinstance(error, TimeoutError):
            text = f"not done within its time limit: {text}"
        self._log.error("task-failed", f"{task.kind.value} failed: {text}", kind=type(error).__name__)
        if self._state.task is task:
            self._state.failed(task.kind, task.target, self._clock(), text)
        return text

    def _work(self, action: Action) -> tuple[float, Coroutine[Any, Any, Any]]:
        """The time limit (seconds) and the work of an action."""
        server, configuration = self._server, self._state.configuration
        match action:
            case Initialise():
                method = self._state.settings.bootstrap_method
                limit = method.time_limit + HOUR if method.command else configuration.start_limit
                return limit, server.initialise()
            case Clone(source=member, replace=replace):
                return _copying(configuration), server.clone(self._known(member), replace, configuration)
            case Rewind(source=member):
                return 2 * HOUR, server.rewind(self._known(member))
            case Start(writable=writable, source=member):
                limit = configuration.start_limit
                return limit, self._start(writable, self.source(member))
            case Promote(timeline=timeline):
                return configuration.promotion_limit, self._promote(timeline)
            case Stop(timeout=timeout, checkpoint=checkpoint):
                return timeout + CHECKPOINT + 10.0, self._stop(timeout, CHECKPOINT if checkpoint else 0.0)
            case Restart(timeout=timeout, writable=writable, source=member):
                limit = configuration.start_limit + timeout + CHECKPOINT
                return limit, self._restart(timeout, writable, self.source(member))
            case Reload():
                return 30.0, server.reload(configuration)
            case Reinitialise(source=member, timeout=timeout):
                return timeout + _copying(configuration), self._reinitialise(timeout, self._known(member))
            case Kill():
                return HOUR, server.kill()
        raise TypeError(f"not a task: {action!r}")

    def _known(self, member: str) -> Source:
        source = self.source(member)
        assert source is not None
        return source

    async def _start(self, writable: bool, source: Source | None) -> None:
        configuration = self._state.configuration
        if writable:
            configuration = await self._held_back(configuration)
        await self._server.start(writable, source, configuration)
        if writable:
            self._writable(None)

    async def _restart(self, limit: float, writable: bool, source: Source | None) -> None:
        await self._stop(limit, CHECKPOINT)
        await self._start(writable, source)

    async def _reinitialise(self, limit: float, source: Source) -> None:
        await self._stop(limit, 0.0)
        await self._server.clone(source, True, self._state.configuration)

    async def _held_back(self, configuration: Configuration) -> Configuration:
        """A primary does not start with more than its standbys run with: they would stop replaying.

        A standby may have been restarted since it was asked last, so one that holds back is asked anew.
        """
        postgresql = configuration.postgresql
        if self._ceiling(postgresql.parameters) != lower(postgresql.parameters):
            await self._poll()
        lowered = msgspec.structs.replace(postgresql, parameters=self._ceiling(postgresql.parameters))
        return msgspec.structs.replace(configuration, postgresql=lowered)

    def _ceiling(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        said = (answer.status for answer in self._state.answers.values() if answer.status is not None)
        return held_back(parameters, [status.limits for status in said if status.role == "replica"])

    async def _stop(self, limit: float, checkpoint: float) -> None:
        """`checkpoint`: seconds for one before a planned stop. The hook gets half of the time at most."""
        configuration, server, began = self._state.configuration, self._state.server, self._clock()
        command, allowed = configuration.postgresql.before_stop, min(configuration.hook_timeout, limit / 2)
        if command is not None and server is not None and server.process is Process.RUNNING:
            with contextlib.suppress(hooks.HookFailed):
                await hooks.execute("before_stop", command, (), allowed, self._clock, self._log)
        if checkpoint:
            await self._server.settle(checkpoint)
            if server is not None and server.primary:
                await self._hold()
        await self._server.stop(max(limit - (self._clock() - began), 1.0))

    async def _promote(self, timeline: int) -> None:
        configuration = self._state.configuration
        command = configuration.postgresql.pre_promote
        if command is not None:
            await hooks.execute("pre_promote", command, (), configuration.hook_timeout, self._clock, self._log)
        self._promotes = True
        try:
            self._writable(await self._server.promote(timeline))
        finally:
            self._promotes = False
