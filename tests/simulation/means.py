"""What faults are made of: whom they strike and for how long, and the few things that many of them do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from pgherd.kubernetes.store import ConfigSeen
from pgherd.model.lease import Lease
from tests.simulation.cluster import Cluster
from tests.simulation.member import Container, Member
from tests.simulation.tagging import never_leads
from tests.simulation.world import API

THAW = 0.05
"""Seconds after a thaw until the fence has run (the window of the exception of S1)."""


@dataclass
class Means:
    cluster: Cluster
    person: bool = False
    """Something happened that only a person can put right."""
    foreign: str | None = None
    """A member that was given another cluster's data: it must stay out for ever."""

    def _length(self) -> float:
        return self.cluster.world.between(0.5, 20.0)

    def _anybody(self) -> Member:
        """The leader as often as not: that is where it hurts."""
        world, record = self.cluster.world, self.cluster.store.lock.value.record
        if record is not None and record.leader in self.cluster.members and world.chance(0.6):
            return self.cluster.members[record.leader]
        return world.random.choice(list(self.cluster.members.values()))

    def _leader(self) -> Member | None:
        record = self.cluster.store.lock.value.record
        return self.cluster.members.get(record.leader or "") if record is not None else None

    def _with_data(self, but: Member | None = None) -> list[Member]:
        """Who has a copy and may lead with it."""
        tags = self.cluster.tags
        there = [each for each in self.cluster.members.values() if each is not but and each.volume.data]
        return [each for each in there if not never_leads(tags, each.name)]

    def _isolate(self, member: str, others: list[str], ways: tuple[str, ...], length: float) -> None:
        pairs = {"to": [(other, member) for other in others], "from": [(member, other) for other in others]}
        self.cluster.cut({pair for way in ways for pair in pairs[way]}, length)

    def _isolate_leader(self, heard: bool = False) -> None:
        """What is done to the lock meanwhile, its holder does not see; `heard`: what it writes arrives, though."""
        record, length = self.cluster.store.lock.value.record, self._length()
        if record is not None and record.leader in self.cluster.members:
            others = [name for name in self.cluster.names if name != record.leader]
            self._isolate(record.leader, others, ("to", "from"), length)
            self._isolate(record.leader, [API], ("to",) if heard else ("to", "from"), length)

    def _once_written(self, what: Callable[[Lease, Lease], bool], then: Callable[[str], None]) -> None:
        """`then`, of the leader's name, as soon as it has replaced its own record by one of which `what` is true."""
        done = False

        def written(who: str, before: Lease | None, after: Lease) -> None:
            nonlocal done
            if not done and before is not None and before.leader == who == after.leader and what(before, after):
                done = True
                then(who)

        self.cluster.store.written.append(written)

    def _power_off(self, member: Member, length: float) -> None:
        world, container = self.cluster.world, member.container
        member.node_off, member.off_until = True, max(member.off_until, world.now + length)
        if container is not None:
            member.container_ended(container, report=False)
            member.unreported = container

        def power_on() -> None:
            if not member.node_off or world.now < member.off_until:
                return  # it failed again meanwhile, or came back already
            member.node_off = False
            member.address = f"10.{self.cluster.world.random.getrandbits(24)}"
            unreported, member.unreported = member.unreported, None
            if unreported is not None:
                member.report(unreported)
            elif member.terminating and member.container is None:
                member.create_pod()  # nothing of the deleted pod is left to end
            else:
                member.start_container()

        world.after(length, power_on)

    def _thaw(self, container: Container) -> None:
        world = self.cluster.world
        container.frozen, container.awake = False, container.clock()
        # A machine that was moved meanwhile has a clock that stood still: its deadline is as late as it was.
        container.exempt_until = max(container.exempt_until, world.now + THAW)
        world.after(0.0, lambda: self.cluster.burst(container))
        world.after(world.between(0, THAW), container.fence.enforce)

    def configure(self) -> bool:
        """A person writes the configuration; whether there is an object to write to."""
        store = self.cluster.store
        store.config, seen = self.cluster.configured.text(), store.configuration.value
        if seen.version:
            store.configuration.put(msgspec.structs.replace(seen, config=store.config, version=store.next_version()))
        return bool(seen.version)

    def delete_config(self) -> str:
        """What an agent that starts from now on can learn of the cluster's identity, others must tell it (S6)."""
        self.person = True
        self.cluster.store.configuration.put(ConfigSeen())
        return "the configuration object is deleted"
