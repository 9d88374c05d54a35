"""Faults at the worst moment: of synchronous sets that change, and of leases that are taken (S3)."""

from __future__ import annotations

from collections.abc import Callable

from pgherd.model.lease import Lease
from tests.simulation.means import Means
from tests.simulation.world import API


class Interruptions(Means):
    """Part of Faults."""

    def lose_synchronous(self) -> str:
        """The leader loses a member of its set, and a little later its life or its voice: what may it do meanwhile?"""
        record, world = self.cluster.store.lock.value.record, self.cluster.world
        members = record.sync.members if record is not None and record.sync is not None else ()
        if record is None or record.leader not in self.cluster.members or not members:
            return "nothing: there is no synchronous set"
        leader, lost = self.cluster.members[record.leader], world.random.choice(members).member
        length, later = world.between(2.0, 20.0), world.between(0.3, 6.0)
        self.cluster.cut({(leader.name, lost), (lost, leader.name)}, length)
        if world.chance(0.5):
            others = [*(name for name in self.cluster.names if name != leader.name), API]
            soon = world.between(0.8, 2.4)  # as the loss is about to be written
            world.after(soon, lambda: self._isolate(leader.name, others, ("to", "from"), length))
            return f"nothing passes between {leader.name} and {lost}, {soon:.1f} s later nor to anybody"
        world.after(later, lambda: self._power_off(leader, length))
        return f"nothing passes between {leader.name} and {lost}, {later:.1f} s later the node of {leader.name} is off"

    def _at_write(self, due: Callable[[str, Lease, Lease], bool], act: Callable[[str, Lease], None]) -> None:
        """Once, at the next write of the lock for which `due` says so."""
        hooks = self.cluster.store.written

        def hook(who: str, before: Lease | None, after: Lease) -> None:
            if before is not None and hook in hooks and due(who, before, after):
                hooks.remove(hook)
                self.cluster.world.after(0.0, lambda: act(who, after))

        hooks.append(hook)
        self.cluster.world.after(15.0, lambda: hooks.remove(hook) if hook in hooks else None)

    def interrupt_entry(self) -> str:
        """The leader loses a member for a while; as somebody enters the set, it loses that one, too, and the reply or
        its life."""
        record, world = self.cluster.store.lock.value.record, self.cluster.world
        members = record.sync.members if record is not None and record.sync is not None else ()
        if record is None or record.leader not in self.cluster.members or not members:
            return "nothing: there is no synchronous set"
        leader, lost, length = record.leader, world.random.choice(members).member, self._length()
        self.cluster.cut({(leader, lost), (lost, leader)}, world.between(2.0, 4.0))
        entered: list[str] = []

        def enters(who: str, before: Lease, after: Lease) -> bool:
            old = before.sync.members if before.sync else ()
            new = after.sync.members if after.sync and after.epoch == before.epoch else ()
            entered[:] = [each.member for each in new if each not in old]
            return bool(entered)

        def interrupt(who: str, after: Lease) -> None:
            for name in entered:
                self.cluster.cut({(who, name), (name, who)}, length)
            if world.chance(0.5):
                self._isolate(who, [API], ("to",), length)
            else:
                world.after(world.between(0.1, 0.5), lambda: self._power_off(self.cluster.members[who], length))

        self._at_write(enters, interrupt)
        return f"nothing passes between {leader} and {lost}, and the next entry is interrupted for {length:.1f} s"

    def interrupt_candidate(self) -> str:
        """A replica is no candidate for a while; the write that names it again is stored, and its leader never hears of
        that: it lives on promises from then on (S1). Too rare to strike by chance."""
        record, world = self.cluster.store.lock.value.record, self.cluster.world
        others = [each.member for each in record.candidates] if record is not None else []
        if record is None or record.leader not in self.cluster.members or not others:
            return "nothing: there is no candidate"
        leader, lost, length = record.leader, world.random.choice(others), 6 * min(record.ttl, 10.0)
        self.cluster.cut({(leader, lost), (lost, leader)}, world.between(3.0, 6.0))

        def named(who: str, before: Lease, after: Lease) -> bool:
            new = {each.member for each in after.candidates} - {each.member for each in before.candidates}
            return who == leader and after.epoch == before.epoch and lost in new

        self._at_write(named, lambda who, after: self._isolate(who, [API], ("to", "from"), length))
        return f"nothing passes between {leader} and {lost}, and the answer that names it again does not come"

    def interrupt_take(self) -> str:
        """The leader's node is off; who takes its place cannot reach its set, and a little later nobody."""
        record, world = self.cluster.store.lock.value.record, self.cluster.world
        if record is None or record.leader not in self.cluster.members:
            return "nothing: there is no leader"
        length = self._length()

        def takes(who: str, before: Lease, after: Lease) -> bool:
            return after.epoch > before.epoch and who != before.leader

        def interrupt(who: str, after: Lease) -> None:
            for each in after.sync.members if after.sync else ():
                self.cluster.cut({(who, each.member), (each.member, who)}, length)
            # Also between the promotion and its publication.
            world.after(world.between(0.02, 1.5), lambda: self._power_off(self.cluster.members[who], length))

        self._at_write(takes, interrupt)
        self._power_off(self.cluster.members[record.leader], world.between(5.0, 20.0))
        return f"the node of {record.leader} is off, and who takes is interrupted for {length:.1f} s"

    def thaw_at_take(self) -> str:
        """The leader's node is frozen until another one takes the lease: whom does it reach in its last moment?"""
        record, world = self.cluster.store.lock.value.record, self.cluster.world
        leader = self.cluster.members.get(record.leader or "") if record is not None else None
        container = leader.container if leader is not None else None
        if leader is None or container is None:
            return "nothing: there is no leader"
        container.frozen = True

        def takes(who: str, before: Lease, after: Lease) -> bool:
            return after.epoch > before.epoch

        def thaw() -> None:
            if container.frozen:
                self._thaw(container)

        self._at_write(takes, lambda who, after: world.after(world.between(0.0, 0.3), thaw))
        world.after(18.0, thaw)
        return f"the node of {leader.name} is frozen until somebody takes the lease"
