"""All members and what passes between them: WAL, questions, the kubelets' words; and what the checks want to know."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pgherd.model.member import MemberStatus
from pgherd.model.promises import Question, Verdict
from pgherd.model.standby import REMOTE
from pgherd.model.synchronous import Sender
from tests.simulation.api import Store
from tests.simulation.database import Data
from tests.simulation.invariants import LAG, Checks
from tests.simulation.member import Container, Member, MemberClock
from tests.simulation.pods import Pods
from tests.simulation.remote import HOST, Remote
from tests.simulation.tagging import draw
from tests.simulation.world import World

TIMINGS = ((10.0, 3.0, 3.0), (5.0, 1.0, 1.0), (3.0, 0.5, 0.5))
"""(ttl, loop_wait, retry_timeout), seconds."""
TICK = 0.2
"""Seconds between two movements of WAL."""


Timing = tuple[float, float, float]


@dataclass
class Configured:
    """The dynamic configuration."""

    timing: Timing
    start: float = 20
    """primary_start_timeout."""
    mode: str = "off"
    strict: bool = False
    count: int = 1
    pause: bool = False
    standby: bool = False
    """A standby cluster, of `Cluster.remote`."""

    def text(self) -> str:
        """As the annotation has it."""
        ttl, loop_wait, retry_timeout = self.timing
        more = {"standby_cluster": {"host": HOST}} if self.standby else {}
        return json.dumps(more | {
            "ttl": ttl, "loop_wait": loop_wait, "retry_timeout": retry_timeout, "primary_start_timeout": self.start,
            "maximum_lag_on_failover": LAG, "synchronous_mode": self.mode, "synchronous_mode_strict": self.strict,
            "synchronous_node_count": self.count, "pause": self.pause,
        })  # fmt: skip


@dataclass
class Peers:
    """How promises travel at the moment."""

    lost: float = 0.0
    """Probability that an answer is lost."""
    slow: float = 0.0
    """Probability of half a second instead of milliseconds, each way."""
    when_asked: Callable[[], None] | None = None
    """What happens once, just after the next question has left."""


class Cluster:
    def __init__(self, world: World, size: int, configured: Configured, folder: Path) -> None:
        self.world = world
        self.configured = configured
        self.store = Store(world, configured.timing[0], configured.text())
        self.store.pods.value, self.store.labelled = Pods(), self._labelled
        self.store.annotated = self._annotated
        self.names = tuple(f"m{number}" for number in range(size))
        self.tags = draw(world, self.names)
        self.members = {
            name: Member(self, name, self._clock(), folder / name) for name in self.names
        }  # fmt: skip
        self.peers = Peers()
        self._branches = 0
        self._systems = 0
        self.remote = Remote(self)
        self.checks = Checks(self)
        self.store.written.append(self.checks.lock_written)
        self.store.sending = self.checks.sending
        world.after_event = self.checks.one_primary
        world.after(TICK, self._tick)

    def _clock(self) -> MemberClock:
        return MemberClock(self.world, self.world.between(10, 1e6), self.world.between(0.99, 1.01))

    def start(self) -> None:
        for member in self.members.values():
            self.world.after(self.world.between(0, 1.0), member.create_pod)

    def show_pods(self) -> None:
        items = tuple(member.seen() for member in self.members.values() if member.uid and not member.vanished)
        self.store.pods.put(Pods(self.store.pods.value.version + 1, items))

    def cut(self, pairs: set[tuple[str, str]], length: float) -> None:
        """Nothing passes these ways for so long."""
        self.world.cut |= pairs
        self.world.after(length, lambda: self.world.cut.difference_update(pairs))

    def _labelled(self, member: str, role: str) -> None:
        self.members[member].shown.role = role
        self.show_pods()

    def _annotated(self, member: str, status: str) -> None:
        self.members[member].shown.status = status
        self.show_pods()

    def next_branch(self) -> int:
        self._branches += 1
        return self._branches

    # What passes between members.

    def containers(self) -> list[Container]:
        return [member.container for member in self.members.values() if member.container is not None]

    def ask(self, who: str, address: str, came: Callable[[MemberStatus | None], None]) -> None:
        """GET /member at an address; nothing comes back from where nobody is or nothing passes."""
        world = self.world

        def arrive() -> None:
            target = next((c for c in self.containers() if c.member.address == address), None)
            if target is None or not world.passes(who, target.member.name):
                return
            process = target.agent
            if process is None:
                if world.passes(target.member.name, who):
                    world.after(0.01, lambda: came(None))  # connection refused
                return

            async def answer() -> None:
                await process.agent.status.refresh()
                status = process.agent.status.member()
                if world.passes(target.member.name, who):
                    world.after(world.between(0.001, 0.02), lambda: came(status))
                    self.checks.answered(who, target.member.name)

            process.loop.create_task(answer())

        world.after(world.between(0.001, 0.02), arrive)

    def ask_promise(self, who: str, address: str, question: Question, came: Callable[[Verdict | str], None]) -> None:
        """POST /promise at an address. What comes back may be lost or late: the promise was given all the same."""
        world = self.world
        if self.peers.when_asked is not None:
            world.after(world.between(0.0, 0.04), self.peers.when_asked)
            self.peers.when_asked = None

        def arrive() -> None:
            target = next((c for c in self.containers() if c.member.address == address), None)
            if target is None or target.agent is None or not world.passes(who, target.member.name):
                return
            process = target.agent

            def answer() -> None:
                verdict = process.agent.promises.answer(question)
                if not verdict.refused:
                    self.checks.promised(target, who, question)
                if world.passes(target.member.name, who) and not world.chance(self.peers.lost):
                    world.after(self._way(), lambda: came(verdict))

            process.loop.call_soon(answer)

        world.after(self._way(), arrive)

    def _way(self) -> float:
        """Seconds that a question or an answer takes."""
        return self.world.between(0.2, 0.6) if self.world.chance(self.peers.slow) else self.world.between(0.001, 0.02)

    def served(self, who: str, member: str, address: str, primary: bool = True) -> Data | None:
        """The data that a running primary, or also a standby, at that address serves to `who`."""
        if member == REMOTE:
            return self.remote.data if self.remote.up else None
        container = self.members[member].container
        if container is None or container.frozen or self.members[member].address != address:
            return None
        instance = container.fence.instance
        if instance is None or not self.world.reachable(who, member):
            return None
        primary = primary and not self.configured.standby
        if not (instance.accepts_writes if primary else instance.running):
            return None
        return container.volume.data

    def senders(self, source: Container) -> tuple[Sender, ...]:
        """Who streams from this primary, and what each has flushed."""
        found = []
        for container in self.containers():
            instance, data = container.fence.instance, container.volume.data
            if instance is None or data is None or not instance.running or not instance.streaming:
                continue
            if instance.following == source.member.name and instance.recovery:
                found.append(Sender(container.member.name, data.lsn))
        return tuple(found)

    def acknowledge(self, container: Container) -> None:
        """Commits whose wait is over, by whichever rule one of the processes still goes."""
        instance, data = container.fence.instance, container.volume.data
        if instance is None or data is None or not instance.accepts_writes or container.frozen:
            return
        flushed = {sender.member: sender.flushed for sender in self.senders(container)}
        ends = []
        for rule in instance.rules:
            answers = sorted((flushed.get(each.member, 0) for each in rule.standbys), reverse=True)
            ends.append(min([data.lsn, *answers[: rule.votes]]))
        if max(ends) >= data.branch.begin:
            self.checks.acknowledged(container.member.name, replace(data, lsn=max(ends)))

    def grow(self, container: Container, amount: int) -> None:
        data = container.volume.data
        if data is not None:
            container.volume.data = replace(data, lsn=data.lsn + amount)

    def _sent(self, source: str) -> Data | None:
        """What a running server there can send."""
        if source == REMOTE:
            return self.remote.data if self.remote.up else None
        sender = self.members[source].container
        if sender is None or sender.frozen or sender.fence.instance is None or not sender.fence.instance.running:
            return None
        return sender.volume.data

    def stream(self, source: str, everything: bool = False) -> None:
        """What `source` has goes to every standby that follows it, all or some of it."""
        sent = self._sent(source)
        if sent is None:
            return
        for container in self.containers():
            instance, data = container.fence.instance, container.volume.data
            if instance is None or not instance.running or not instance.recovery or instance.following != source:
                continue
            well = not container.frozen and self.world.reachable(source, container.member.name)
            instance.streaming = well and data is not None and data.may_stream_from(sent) and data.lsn <= sent.lsn
            slow = self.world.now < container.member.slow_until
            if instance.streaming and data is not None and not (instance.promoting or slow):
                lsn = (
                    sent.lsn
                    if everything or self.world.chance(0.8)
                    else (max(data.lsn, sent.branch.begin) + sent.lsn) // 2
                )
                container.volume.data = replace(data, line=sent.line, lsn=max(data.lsn, lsn))

    def burst(self, container: Container) -> None:
        """Everything that a primary can do in a moment: commits, sent to all who still follow, and acknowledged."""
        instance = container.fence.instance
        if instance is not None and instance.accepts_writes and not container.frozen:
            self.grow(container, self.world.random.randrange(0, 2000))
            self.stream(container.member.name, everything=True)
            self.acknowledge(container)

    def _tick(self) -> None:
        self.world.after(TICK, self._tick)
        for container in self.containers():
            instance = container.fence.instance
            full = self.world.now < container.member.full_until
            if instance is not None and instance.accepts_writes and not container.frozen and not full:
                self.grow(container, self.world.random.randrange(0, 2000))
        self.remote.tick()
        for name in (REMOTE, *self.names):
            self.stream(name)
        for container in self.containers():
            self.acknowledge(container)
        for container in self.containers():
            instance = container.fence.instance
            if instance is None or not instance.streaming:
                continue
            source = instance.following or ""
            address = "" if source == REMOTE else self.members[source].address
            if self.served(container.member.name, source, address, False) is None:
                instance.streaming = False

    def initialised(self, member: str) -> str:
        """A new system identifier, after the checks have heard of it."""
        self.checks.initialised(member)
        self._systems += 1
        return f"7000{self._systems}"
