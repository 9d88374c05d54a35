"""PID 1 of a simulated container: the mapping, the deadline, the killing pass, and agents that hang.

The rules are those of pgherd.fence.loop (level-triggered, at risk while armed or started writable); what it kills is
modelled. It takes up to STEP to notice anything, up to LOOK for a step of the wall clock, and notices nothing at all
while its node is frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pgherd.fence.loop import LEAST_MARGIN, WATCH
from pgherd.model.knowledge import Attempt
from pgherd.model.synchronous import ALONE, Rule

if TYPE_CHECKING:
    from tests.simulation.member import Container

STEP = 0.05
LOOK = WATCH / 1000
SILENCE = 5.0


@dataclass
class Instance:
    """A postmaster with all its children. It lives until a killing pass, also without its postmaster."""

    number: int
    writable: bool
    """Started writable, in place."""
    running: bool = False
    recovery: bool = True
    promoting: bool = False
    stopping: bool = False
    shut_down: int | None = None
    """Its last checkpoint is written, here; what hangs (an archiver, a sender) keeps its processes alive."""
    writes_since: float = 0.0
    """Virtual time at which it began to accept writes."""
    following: str | None = None
    streaming: bool = False
    cramped: bool = False
    """A standby that runs with less than its WAL demands: it cannot be promoted, only a start helps."""
    lacks_slot: bool = False
    """A standby that gets a declared logical slot only by a start."""
    rules: tuple[Rule, ...] = (ALONE,)
    """synchronous_standby_names as its processes go by it: several while a reload is on its way to all of them."""

    @property
    def accepts_writes(self) -> bool:
        return self.running and not self.recovery and self.shut_down is None


@dataclass
class Fence:
    container: Container
    deadline: float = 0.0
    lease_end: float = 0.0
    paused: bool = False
    armings: int = 0
    void: int = -1
    """The last arming that counts no more: the wall clock went forward at once."""
    settled: int = 0
    attempts: list[Attempt] = field(default_factory=list)
    heartbeat: float = 0.0
    instance: Instance | None = None
    dead: bool = True

    def arm(self, deadline: float, lease_end: float) -> None:
        self.deadline, self.lease_end = deadline, lease_end
        self.armings += 1
        self.paused = False
        self.look_at(deadline)

    def withdraw(self) -> None:
        self.paused = False
        self.deadline = 0.0
        self.look_at(0.0)

    def look_at(self, clock: float) -> None:
        """Look soon after the container's clock has come there."""
        world, container = self.container.world, self.container
        world.at(container.clock.when(clock) + world.between(0, STEP), self.enforce)

    def enforce(self) -> None:
        """The deadline of an arming, or of a writable start, has passed (S4)."""
        container = self.container
        if container.gone or container.frozen:
            return
        at_risk = self.armings != self.settled or (self.instance is not None and self.instance.writable)
        at_risk = at_risk or (self.armings == self.void and self.deadline > container.clock())
        if at_risk and self.passed():
            if self.instance is not None:
                container.world.say(container.member.name, "fence: the deadline has passed, PostgreSQL is killed")
            self.kill()
            self.settled = self.armings

    def passed(self) -> bool:
        counts = self.armings > self.void
        return not self.paused and not (counts and self.deadline > self.container.clock())

    def clock_stepped(self, seconds: float) -> None:
        """The wall clock, against the boot-time clock; noticed with the next look."""
        if seconds > max(LEAST_MARGIN, self.lease_end - self.deadline):
            self.void = self.armings
            world = self.container.world
            world.after(world.between(0, LOOK), self.enforce)

    def kill(self) -> None:
        """A killing pass that ends empty."""
        killed, self.instance, self.dead = self.instance, None, True
        if killed is not None:
            self.container.instance_ended(killed, clean=killed.shut_down is not None)

    def postmaster_died(self) -> None:
        """Its children can acknowledge commits until the next look."""
        instance, world = self.instance, self.container.world
        if instance is None:
            return

        def look() -> None:
            if self.instance is instance and not self.container.gone:
                world.after(STEP, look) if self.container.frozen else self.kill()

        world.after(world.between(0, STEP), look)

    def start(self, writable: bool, following: str | None) -> Instance:
        """Raises Refused as the real one does."""
        if self.instance is not None or not self.dead:
            raise Refused("PostgreSQL runs already")
        if writable and self.passed():
            raise Refused("a writable start needs an armed deadline in the future, or a recorded pause (S4)")
        self.dead = False
        self.instance = Instance(self.container.world.random.getrandbits(32), writable, following=following)
        self.instance.rules = (self.container.volume.rule,)
        if writable:
            self.look_at(self.deadline)
        return self.instance

    def watch_agent(self) -> None:
        """A silent agent is killed and started anew, on a holder only after PostgreSQL is dead."""
        container = self.container
        if container.gone:
            return
        container.world.after(1.0, self.watch_agent)
        if container.frozen or container.agent is None:
            return
        writes = self.instance is not None and self.instance.writable
        silent = container.clock() - max(self.heartbeat, container.awake) > SILENCE
        if silent and (self.paused or (self.armings == self.settled and not writes)):
            container.world.say(container.member.name, "fence: the agent is frozen and is killed")
            container.end_agent()


class Refused(RuntimeError):
    """The fence's no."""


class Link:
    """An agent's end of the fence (runtime.ports.Fence)."""

    def __init__(self, fence: Fence) -> None:
        self._fence = fence
        self.dead = False
        self.callbacks: list[Callable[[int, int], None]] = []

    def beat(self) -> None:
        if not self.dead:
            self._fence.heartbeat = self._fence.container.clock()

    def arm(self, deadline: float, lease_end: float) -> None:
        if not self.dead:
            self._fence.arm(deadline, lease_end)

    def withdraw(self) -> None:
        if not self.dead:
            self._fence.withdraw()

    def pause(self) -> None:
        if not self.dead:
            self._fence.paused = True

    def paused(self) -> bool:
        return self._fence.paused

    def deadline(self) -> float:
        return self._fence.deadline

    def lease_end(self) -> float:
        return self._fence.lease_end

    def record_attempt(self, attempt: Attempt) -> None:
        if not self.dead:
            self._fence.attempts = [a for a in self._fence.attempts if a.nonce != attempt.nonce] + [attempt]

    def forget_attempts(self, nonces: Iterable[str]) -> None:
        gone = set(nonces)
        if not self.dead:
            self._fence.attempts = [a for a in self._fence.attempts if a.nonce not in gone]

    def attempts(self) -> tuple[Attempt, ...]:
        return tuple(self._fence.attempts)

    def on_exit(self, callback: Callable[[int, int], None]) -> None:
        self.callbacks.append(callback)
