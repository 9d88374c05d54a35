"""The agent of one member: one event loop, and these tasks. All of them live from `run` to its end.

    heartbeat   tells the fence that the loop turns; notices a wall clock that jumped forward
    lock        watch of the lock object -> lock.Lock
    config      watch of the configuration object
    pods        watch of the cluster's pods
    routes      watch of where clients are sent; routing changes that as decisions want it
    peers       asks the other members: every loop_wait while holding, and when a decision wants to know
    observer    looks at PostgreSQL every second, more often while something is expected, at once on a child's exit
    prober      proof of health shortly before each renewal
    decider     view -> decide -> actions; wakes on news or at Decision.wake_at; its end is the agent's
    remote      asks the remote primary of a standby cluster while its word is needed
    role        the pod's label
    published   the pod's annotation `status`
    access      declared users and databases while KeepPrimary is ordered
    slots       replication slots of a running server
    callbacks   the user's programs, told what PostgreSQL has become
    reload      changed configuration into a running server
    synchronous synchronous_standby_names as the newest Require orders, and its proof
    receipts    appends what is complete to the history
    summary     the status object, while this is the published primary
    asked       watch of the requests; answers writes what became of them
    rest        the HTTP API
    certificates  takes renewed certificates, and publishes which ones are in use
    settings    watch of the static settings' file; its end is the agent's, too

Short-lived tasks start from a decision: one write of the lease (writer), one round of promises (promises), one
long action (tasks), one follow, one write of `initialize`. A task that ends with an error ends the agent: the fence
starts it anew, PostgreSQL and the deadline stay as they are, and it costs no write.
"""

from __future__ import annotations

import asyncio
import math
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec

from pgherd.decide import unread
from pgherd.decide.slots import orders
from pgherd.kubernetes.store import Stores
from pgherd.model.actions import (
    Action,
    AnswerRequest,
    AskPromises,
    CutOff,
    Decision,
    Exit,
    Follow,
    KeepPrimary,
    PollPeers,
    Prove,
    Reason,
    Require,
    RestoreLease,
    SetInitialize,
    WriteLease,
)
from pgherd.model.clocks import distance
from pgherd.model.settings import Identity, Settings
from pgherd.model.view import View
from pgherd.runtime.access import Access, Apply
from pgherd.runtime.callbacks import Callbacks
from pgherd.runtime.config_kept import ConfigKept
from pgherd.runtime.container import Container
from pgherd.runtime.lock import Lock
from pgherd.runtime.log import Log
from pgherd.runtime.observer import Observer, Prober
from pgherd.runtime.peers import Ask, Peers
from pgherd.runtime.pooling import Ask as Hold
from pgherd.runtime.pooling import Pooling
from pgherd.runtime.ports import Clock, Fence, Postgres
from pgherd.runtime.promises import Asking, Promises
from pgherd.runtime.published import Published
from pgherd.runtime.receipts import Receipts, write_receipts
from pgherd.runtime.remote import Remote
from pgherd.runtime.requests import Requests
from pgherd.runtime.restore import Restore
from pgherd.runtime.route import Routing
from pgherd.runtime.slots import Slots
from pgherd.runtime.state import State
from pgherd.runtime.status import Status
from pgherd.runtime.summary import Summaries
from pgherd.runtime.synchronous import Requirement
from pgherd.runtime.tally import DECISIONS
from pgherd.runtime.tasks import Tasks
from pgherd.runtime.upkeep import Following, Initialize, Reload, Role
from pgherd.runtime.waiting import Bell
from pgherd.runtime.watchers import watch_config, watch_lock, watch_pods
from pgherd.runtime.writer import Writer

BEAT = 1.0
SHORTEST = 0.003
"""Seconds between two decisions at least."""
PATIENCE = 1.0
"""Seconds after its start at which an agent says that it has not read everything yet."""
CLOSE = 3.0
"""Seconds that the tasks have to end."""


class Parts(msgspec.Struct, frozen=True):
    """The layers that the runtime wires together."""

    stores: Stores
    fence: Fence
    server: Postgres
    decide: Callable[[View, float], Decision]
    ask: Ask
    ask_promises: Asking
    apply: Apply
    serve: Callable[[Status], Awaitable[None]]
    certify: Callable[[State, Tasks], Awaitable[None]]
    hold: Hold | None = None
    """Asks the poolers to hold their clients back; None without any."""


class Agent:
    def __init__(
        self,
        settings: Settings,
        identity: Identity,
        parts: Parts,
        container: Container,
        run: Path,
        log: Log,
        clock: Clock,
        wall: Clock = time.time,
    ) -> None:
        self._parts, self._log, self._clock, self._wall = parts, log, clock, wall
        self._pulse = Bell()
        stores, server = parts.stores, parts.server
        self.state = state = State(settings, identity, container, log)
        self.lock = Lock(state, stores.lock, parts.fence, clock, log)
        self.receipts = Receipts(state, identity, run, log)
        self.writer = Writer(state, self.lock, stores.lock, clock, log, self.receipts.written)
        self.restore = Restore(state, self.lock, stores.lock, clock, log)
        self.routing = Routing(state, stores.route, log)
        self.observer = Observer(state, server, clock)
        self.prober = Prober(state, server, clock)
        self.requests = Requests(state, stores.requests, clock, wall, log)
        self.peers = Peers(state, parts.ask, clock)
        self.pooling = Pooling(stores.pods, parts.hold, log)
        self.tasks = Tasks(
            state, server, self.observer.observe, self.peers.poll, self.pooling.hold, clock, log,
            self.receipts.writable, self.requests.ended,
        )  # fmt: skip
        self.promises = Promises(state, self.lock, parts.ask_promises, clock, log)
        self.initialize = Initialize(state, stores, log)
        self.following = Following(state, server, self.tasks, log)
        self.remote = Remote(state, server, self.tasks, clock, log)
        self.role = Role(state, stores, clock, log)
        self.access = Access(state, server, stores, parts.apply, log)
        self.slots = Slots(state, server, self.tasks, clock, log)
        self.callbacks = Callbacks(state, run, clock, log)
        self.reload = Reload(state, server, clock, log, self.callbacks.reloaded)
        self.config_kept = ConfigKept(state, log)
        self.published = Published(state, stores, self.reload.in_force, log)
        self.requirement = Requirement(state, server, log)
        self.status = Status(state, self.observer, clock)
        self.summaries = Summaries(state, self.status, stores.summary, clock, log)

    def terminate(self) -> None:
        """SIGTERM: hand over or leave, then end."""
        if not self.state.terminating:
            self._log.info("terminating", "told to stop")
        self.state.terminating = True
        self.state.told_to_stop = self.state.told_to_stop or self._clock()
        self.state.look.ring()
        self.state.decide.ring()

    async def run(self, until: Coroutine[Any, Any, None] | None = None) -> None:
        """Until a decision says Exit, or `until` ends. Raises what ended one of the tasks."""
        self.lock.inherit()
        self.config_kept.inherit()
        self._parts.fence.on_exit(self._exited)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.terminate)
        tasks = {asyncio.create_task(work, name=name) for name, work in self._loops().items()}
        if until is not None:
            tasks.add(asyncio.create_task(until, name="settings"))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=CLOSE)
            await self.promises.close()
            await self.writer.close()
            await self.tasks.close()

    def _loops(self) -> dict[str, Coroutine[Any, Any, None]]:
        state, stores = self.state, self._parts.stores
        return {
            "heartbeat": self._heartbeat(),
            "lock": watch_lock(state, stores, self.lock),
            "config": watch_config(state, stores),
            "pods": watch_pods(state, stores),
            "routes": self.routing.watch(),
            "routing": self.routing.run(),
            "peers": self.peers.run(),
            "observer": self.observer.run(),
            "prober": self.prober.run(),
            "remote": self.remote.run(),
            "role": self.role.run(),
            "published": self.published.run(),
            "access": self.access.run(),
            "slots": self.slots.run(),
            "callbacks": self.callbacks.run(),
            "reload": self.reload.run(),
            "synchronous": self.requirement.run(),
            "receipts": write_receipts(self.receipts, state, stores.config, self._log),
            "summary": self.summaries.run(),
            "asked": self.requests.watch(),
            "answers": self.requests.run(),
            "rest": _forever(self._parts.serve(self.status)),
            "certificates": _forever(self._parts.certify(state, self.tasks)),
            "decider": self._decide(),
        }

    def _exited(self, pid: int, status: int) -> None:
        """The fence's word that PostgreSQL's first process ended: known in milliseconds."""
        self.state.tally.exited(status)
        self._log.info("postgres-exited", f"process {pid} ended with status {status}", pid=pid, status=status)
        self._pulse.ring()  # the fence may have killed it for a step of the wall clock
        self.state.look.ring()

    async def _heartbeat(self) -> None:
        offset = distance(None, self._wall, self._clock)
        while True:
            self._parts.fence.beat()
            now = distance(offset, self._wall, self._clock)
            stepped = now - offset > self.state.configuration.margin
            if self.state.knowledge.held is not None and stepped and not self._parts.fence.paused():
                # A machine that was moved while stopped: its boot-time clock may have stood still (§2, Clocks).
                self.lock.forget_own(f"the wall clock stepped forward by {now - offset:.1f} s")
                await self.lock.refresh(1.0)
            offset = now
            await self._pulse.wait(BEAT)

    async def _decide(self) -> None:
        state, began = self.state, self._clock()
        while not state.complete:
            await state.decide.wait(0.2)
            if self._clock() - began > PATIENCE and not state.complete:
                self._say(unread(state.unread()).reason)
            if state.terminating and state.server is not None:
                break
        while True:
            now = self._clock()
            self.writer.settle()
            view = state.view(self._parts.fence.deadline(), now)
            decision = self._parts.decide(view, now)
            self.receipts.decided(view, now)
            self.routing.decided(view, now)
            self._say(decision.reason)
            if any(isinstance(action, Exit) for action in decision.actions):
                return
            self._carry_out(decision)
            self.slots.order(orders(view, now))
            state.decided = self._clock()
            state.tally.add(DECISIONS)
            await asyncio.sleep(SHORTEST)
            await state.decide.wait(self._pause(decision))

    def _pause(self, decision: Decision) -> float:
        """Seconds until the next decision without news: at its own wish, and at least once per loop_wait."""
        now = self._clock()
        again = now + self.state.configuration.loop_wait
        retry = self.writer.not_before if self.writer.not_before > now else math.inf
        wished = decision.wake_at if decision.wake_at is not None else math.inf
        return max(min(again, retry, wished) - now, SHORTEST)

    def _say(self, reason: Reason) -> None:
        if reason != self.state.reason:
            if reason.code != self.state.reason.code:
                self._log.info(reason.code, reason.text)
            self.state.reason = reason

    def _carry_out(self, decision: Decision) -> None:
        if not any(isinstance(action, KeepPrimary) for action in decision.actions):
            self.access.stop()
        for action in decision.actions:
            self._one(action, decision.reason)
        for upkeep in (
            self.following, self.prober, self.remote, self.role, self.reload, self.published, self.callbacks,
            self.summaries, self.config_kept,
        ):  # fmt: skip
            upkeep.check()

    def _one(self, action: Action, reason: Reason) -> None:
        match action:
            case WriteLease():
                self.writer.submit(action, reason)
            case RestoreLease():
                self.restore.order(action)
            case SetInitialize():
                self.initialize.order(action)
            case PollPeers():
                self.peers.order(action)
            case AskPromises():
                self.promises.order()
            case KeepPrimary():
                self.access.order()
            case Require():
                self.requirement.order(action)
            case Prove():
                self.prober.want()
            case Follow() | CutOff():
                self.following.order(action)
            case AnswerRequest():
                self.requests.order(action)
            case _:
                self.tasks.order(action)


async def _forever(work: Awaitable[None]) -> None:
    await work
