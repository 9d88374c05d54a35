"""The loop that owns agent, PostgreSQL and deadline. It runs from the container's start to its end.

Level-triggered: every step looks at the mapping anew, so a late start, a withdrawn deadline or a thawed agent is
caught whenever it shows. Between steps it sleeps until the deadline, a child's end or its agent's word, and never
longer than WATCH (QUIET where nothing may write): a wake-up costs more than a step. Nothing in a step waits for others.
"""

# pathlib stays out: every module costs the fence memory.
# ruff: noqa: PTH108, PTH118
from __future__ import annotations

import os
import select
import signal
from collections.abc import Mapping as Environ

from pgherd.fence import processes, requests
from pgherd.fence.agent import Agent
from pgherd.fence.log import Log
from pgherd.fence.postgres import Postgres
from pgherd.model.clocks import distance
from pgherd.model.mapping import Mapping, boottime, create

WATCH = 200
"""Milliseconds between looks while something may write: how late a step of the wall clock is noticed."""
QUIET = 500
"""The same where nothing may; less than STALL."""
STEP = 50
"""The same while no agent runs."""
HASTE = 10
"""Milliseconds between passes while something that must die still lives."""
REAP_EVERY = 1.0
"""Seconds after which children are looked for without any sign of one: a lost signal must not matter."""
STALL = 1.0
"""A gap between steps above this means that the fence itself stood still: the agent gets its silence anew."""
LEAST_MARGIN = 1.0
"""Seconds by which the wall clock may go forward at once where the agent said nothing of its lease's margin."""
SHOW_OVERDUE = 1.0
"""Seconds of fruitless killing after which the liveness probe may fail: an ordinary kill takes milliseconds."""


class Fence:
    def __init__(self, environ: Environ[str, str]) -> None:
        run = environ.get("PGHERD_RUN", "/run/pgherd")
        self._overdue_file = os.path.join(run, "overdue")
        self._grace = float(environ.get("PGHERD_GRACE", "50"))
        fd = create()
        self.mapping = Mapping(fd)
        self.log = Log()
        self.agent = Agent(environ, fd)
        self.postgres = Postgres()
        self.terminating: float | None = None
        """Boot time of SIGTERM."""
        self.overdue_since: float | None = None
        self.kills = 0
        """PostgreSQLs that were killed because their deadline had passed."""
        self._victim: int | None = None
        self._passed = (0.0, 0.0)
        """The postmaster that the present deadline kills; that deadline and its lease's end."""
        self._killing = False
        self._distance = distance(None)
        """Between the wall clock and the boot-time clock, when they were read last."""
        self._void = -1
        """The last arming that counts no more: the machine stood still since."""
        self._kill_requests: list[int] = []
        self._awake = self._last_step = self._reaped = boottime()
        self._poll = select.poll()
        self._listening, self._listening_since = -1, 0.0
        self._shown = True
        self._show_overdue(False)

    def run(self) -> int:
        """Until SIGTERM has been carried out. The exit status of the container."""
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self._terminate)
        self._poll.register(wake_read, select.POLLIN)
        while self.terminating is None or not self._finished():
            self._listen()
            ready = {fd for fd, _ in self._poll.poll(self.patience(boottime()))}
            if wake_read in ready:
                os.read(wake_read, 4096)
            self.step(bool(ready))
        return 0

    @property
    def deadline(self) -> float:
        """Boot time after which nothing may write; 0 when what was armed last counts no more."""
        return self.mapping.deadline if self.mapping.armings > self._void else 0.0

    def patience(self, now: float) -> int:
        """Milliseconds until the next look if nothing happens before."""
        if self._killing:
            return HASTE
        if self.agent.pid is None:
            return STEP
        if self._nothing_writes() and self.deadline <= now:
            return QUIET
        left = self.deadline - now
        return min(WATCH, int(left * 1000) + 1) if left > 0 else WATCH

    def _listen(self) -> None:
        """Wait for the present agent's requests, and for nothing that is closed."""
        fd = self.agent.socket.fileno() if self.agent.socket else -1
        if fd != self._listening or self.agent.started != self._listening_since:
            if self._listening >= 0:
                self._poll.unregister(self._listening)
            if fd >= 0:
                self._poll.register(fd, select.POLLIN)
            self._listening, self._listening_since = fd, self.agent.started

    def step(self, something_happened: bool = True) -> None:
        """One look at everything. The deadline comes before requests: an overdue fence starts nothing.

        Some steps a second for ever: where nothing happened and nothing is at risk, a step is a few comparisons.
        """
        now = boottime()
        if now - self._last_step > STALL:
            self._awake = now
        self._watch_clocks()
        if something_happened or now - self._reaped > REAP_EVERY:
            self._reaped = now
            self._reap(now)
        self._enforce(now)
        if something_happened:
            for request in self.agent.receive():
                requests.answer(self, request)
        self._watch_agent(now)
        self._last_step = boottime()

    def _watch_clocks(self) -> None:
        """A machine that stood still while it was moved has a deadline that is late by that (S1). Its agent notices,
        too, but may be frozen."""
        before, self._distance = self._distance, distance(self._distance)
        stepped = self._distance - before
        if stepped > max(LEAST_MARGIN, self.mapping.lease_end - self.mapping.deadline):
            self._void = self.mapping.armings
            self.log("clock_stepped", seconds=round(stepped, 3), armings=self._void)

    def kill_for(self, request: int) -> None:
        """Start the killing pass; `request` is answered when it was empty."""
        self._kill_requests.append(request)
        self._killing = True

    def _reap(self, now: float) -> None:
        for pid, status in processes.reap():
            code = os.waitstatus_to_exitcode(status)
            if pid == self.agent.pid:
                self.agent.ended(now)
                self.log("agent_ended", pid=pid, status=code)
            elif pid == self.postgres.pid:
                self.postgres.pid = None
                self._killing = True  # backends outlive their postmaster and can still acknowledge commits
                self.log("postgres_ended", pid=pid, status=code)
                self.agent.tell({"event": "postgres_exited", "pid": pid, "status": code})

    def _enforce(self, now: float) -> None:
        """Kill when the deadline of an arming (or of a writable start) has passed; carry out a pass under way (S4).

        Not in a recorded pause: nobody takes a paused lease, so nothing has to be dead before its end.
        """
        armings = self.mapping.armings
        at_risk = armings != self.mapping.settled or (self.postgres.pid is not None and self.postgres.writable)
        # Until its agent knows, it could take what is void for armed, and promote.
        at_risk = at_risk or (armings == self._void and self.mapping.deadline > now)
        overdue = self.deadline <= now and not self.mapping.paused
        if at_risk and overdue and self.overdue_since is None:
            self.overdue_since = now
            self._killing = True
            self._victim = self.postgres.pid
            self._passed = self.deadline, self.mapping.lease_end
        if not self._killing:
            return
        empty = self.postgres.kill()
        if not empty:
            self._show_overdue(self.overdue_since is not None and now - self.overdue_since > SHOW_OVERDUE)
            return
        self.postgres.bury()
        self._killing = False
        if self.overdue_since is not None and self._victim:
            deadline, lease_end = self._passed
            self.kills += 1
            self.log(
                "fence_killed", postgres=self._victim, deadline=deadline, killed_at=boottime(), lease_ends_at=lease_end
            )
        if self.overdue_since is not None and overdue:
            self.mapping.settle(armings)
        self.overdue_since = None
        self._show_overdue(False)
        for request in self._kill_requests:
            self.agent.tell({"id": request, "ok": True})
        self._kill_requests.clear()

    def _watch_agent(self, now: float) -> None:
        if self.agent.pid is None:
            self._kill_requests.clear()
            if self.terminating is None and now >= self.agent.start_after:
                self._restart_agent(now)
        elif self.agent.frozen(self.mapping.heartbeat, self._awake, now) and self._nothing_writes():
            self.log("agent_frozen", pid=self.agent.pid, heartbeat_age=round(now - self.mapping.heartbeat, 1))
            self.agent.signal(signal.SIGKILL)

    def _nothing_writes(self) -> bool:
        """Nothing is armed or writable: on a holder only after the deadline passed and a pass was empty (S4).

        In a pause nothing ever passes: its agent may go at once, and what it had begun stands in the mapping.
        """
        if self.mapping.paused:
            return not self._killing
        writes = self.postgres.pid is not None and self.postgres.writable
        return self.mapping.armings == self.mapping.settled and not writes and not self._killing

    def _restart_agent(self, now: float) -> None:
        """A half-done pg_basebackup or pg_rewind of the last agent must not run beside the next one's."""
        left = processes.strangers(self.postgres.pid)
        if left:
            processes.send(left, signal.SIGKILL)
            return
        try:
            self.agent.start(now)
        except OSError as error:  # no process or file to be had just now: PID 1 must outlive that
            self.agent.ended(now)
            self.log("agent_not_started", why=str(error))
            return
        self.log("agent_started", pid=self.agent.pid)

    def _show_overdue(self, shown: bool) -> None:
        """The file that the liveness probe looks for."""
        if shown == self._shown:
            return
        self._shown = shown
        try:
            if shown:
                os.close(os.open(self._overdue_file, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            else:
                os.unlink(self._overdue_file)
        except OSError:
            pass

    def _terminate(self, *_: object) -> None:
        if self.terminating is None:
            self.terminating = boottime()
            self.agent.signal(signal.SIGTERM)

    def _finished(self) -> bool:
        """After SIGTERM: the agent has ended or its time is over, and a killing pass was empty."""
        assert self.terminating is not None
        now = boottime()
        if self.agent.pid and now - self.terminating < self._grace:
            return False
        self.agent.signal(signal.SIGKILL)
        self._killing = True
        self._enforce(now)
        if not self.postgres.dead:
            return False
        self.log("stopped", seconds=round(now - self.terminating, 3))
        return True
