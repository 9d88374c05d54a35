"""What happens to a cluster: each fault is drawn by chance, has its effect at once, and heals by itself.

A fault that only a person can heal (a deleted or edited lock object, volumes with the only copy emptied) says so:
then safety is checked and liveness is not asked for.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations

import msgspec

from pgherd.kubernetes.store import ConfigSeen, LockSeen
from pgherd.model.lease import Lease
from tests.simulation.api import Weather
from tests.simulation.cluster import TIMINGS, Cluster
from tests.simulation.database import Branch, Data
from tests.simulation.interruptions import Interruptions
from tests.simulation.member import Container, Member
from tests.simulation.world import API

THAW = 0.05
"""Seconds after a thaw until the fence has run (the window of the exception of S1)."""


@dataclass
class Faults(Interruptions):
    cluster: Cluster
    person: bool = False
    """Something happened that only a person can put right."""
    foreign: str | None = None
    """A member that was given another cluster's data: it must stay out for ever."""

    def strike(self) -> str:
        """One fault, now; what it was."""
        kinds: list[tuple[int, Callable[[], str]]] = [
            (6, self.kill_container), (4, self.freeze_agent), (3, self.kill_agent), (4, self.freeze_node),
            (5, self.kill_node), (2, self.empty_volume), (4, self.partition), (4, self.cut_off), (3, self.api_down),
            (4, self.api_bad), (4, self.terminate), (4, self.kill_postmaster), (2, self.edit_lock),
            (1, self.delete_lock), (1, self.delete_config), (2, self.step_clock), (1, self.swap_volume),
            (2, self.kill_everything), (3, self.force_delete), (2, self.lose_memory), (2, self.change_timing),
            (2, self.stop_writes), (3, self.change_synchronous), (3, self.lose_synchronous),
            (3, self.interrupt_entry), (3, self.interrupt_take), (3, self.thaw_at_take),
        ]  # fmt: skip
        random = self.cluster.world.random
        strike = random.choices([act for _, act in kinds], [weight for weight, _ in kinds])[0]
        text = strike()
        self.cluster.world.say("FAULT", text)
        return text

    def _length(self) -> float:
        return self.cluster.world.between(0.5, 20.0)

    def _anybody(self) -> Member:
        """The leader as often as not: that is where it hurts."""
        world, record = self.cluster.world, self.cluster.store.lock.value.record
        if record is not None and record.leader in self.cluster.members and world.chance(0.6):
            return self.cluster.members[record.leader]
        return world.random.choice(list(self.cluster.members.values()))

    def kill_container(self) -> str:
        member = self._anybody()
        if member.container is not None:
            member.container_ended(member.container)
        return f"the container of {member.name} is killed"

    def freeze_agent(self) -> str:
        member = self._anybody()
        process = member.container.agent if member.container else None
        if process is not None:
            process.frozen = True

            def thaw() -> None:
                process.frozen = False

            self.cluster.world.after(self._length(), thaw)
        return f"the agent of {member.name} is frozen"

    def kill_agent(self) -> str:
        member = self._anybody()
        if member.container is not None:
            member.container.end_agent()
        return f"the agent of {member.name} is killed"

    def freeze_node(self) -> str:
        member, length = self._anybody(), self._length()
        container = member.container
        if container is not None:
            container.frozen = True
            self.cluster.world.after(length, lambda: self._thaw(container))
        return f"the node of {member.name} is frozen for {length:.1f} s"

    def _thaw(self, container: Container) -> None:
        world = self.cluster.world
        container.frozen, container.awake = False, container.clock()
        container.exempt_until = world.now + THAW
        world.after(0.0, lambda: self.cluster.burst(container))
        world.after(world.between(0, THAW), container.fence.enforce)

    def kill_node(self) -> str:
        member, length = self._anybody(), self._length()
        self._power_off(member, length)
        return f"the node of {member.name} is off for {length:.1f} s"

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

    def kill_everything(self) -> str:
        for member in self.cluster.members.values():
            self._power_off(member, self._length())
        return "the power fails for all"

    def _with_data(self, but: Member | None = None) -> list[Member]:
        return [each for each in self.cluster.members.values() if each is not but and each.volume.data]

    def _lock_remembers(self) -> bool:
        record = self.cluster.store.lock.value.record
        return record is not None and record.holder is not None and record.holder.writable > 0

    def empty_volume(self) -> str:
        member = self._anybody()
        if not self._with_data(but=member):
            return "nothing: the only copy is spared"
        if member.container is not None:
            member.container_ended(member.container)
        member.volume.data = None
        shutil.rmtree(member.folder / "state", ignore_errors=True)
        record = self.cluster.store.lock.value.record
        if record is not None and record.leader == member.name:
            self.person = True  # who was ahead of whom cannot be known by everybody any more
        return f"the volume of {member.name} is lost"

    def partition(self) -> str:
        world, length = self.cluster.world, self._length()
        chosen = [way for way in permutations([*self.cluster.names, API], 2) if world.chance(0.3)]
        if world.chance(0.5):
            chosen += [(receiver, sender) for sender, receiver in chosen]
        self._cut(chosen, length)
        return f"cut for {length:.1f} s: {' '.join(f'{sender}>{receiver}' for sender, receiver in chosen)}"

    def cut_off(self) -> str:
        world, member, length = self.cluster.world, self._anybody(), self._length()
        names = [name for name in self.cluster.names if name != member.name]
        others = world.random.choice([[API], names, [*names, API]])
        ways = world.random.choice([("to", "from"), ("to", "from"), ("to",), ("from",)])
        self._isolate(member.name, others, ways, length)
        return f"nothing passes {' and '.join(ways)} {member.name} for {length:.1f} s, as to {', '.join(others)}"

    def _isolate(self, member: str, others: list[str], ways: tuple[str, ...], length: float) -> None:
        pairs = {"to": [(other, member) for other in others], "from": [(member, other) for other in others]}
        self._cut([pair for way in ways for pair in pairs[way]], length)

    def _isolate_leader(self, heard: bool = False) -> None:
        """What is done to the lock meanwhile, its holder does not see; `heard`: what it writes arrives, though."""
        record, length = self.cluster.store.lock.value.record, self._length()
        if record is not None and record.leader in self.cluster.members:
            others = [name for name in self.cluster.names if name != record.leader]
            self._isolate(record.leader, others, ("to", "from"), length)
            self._isolate(record.leader, [API], ("to",) if heard else ("to", "from"), length)

    def _cut(self, pairs: list[tuple[str, str]], length: float) -> None:
        self.cluster.world.cut |= set(pairs)
        self.cluster.world.after(length, lambda: self.cluster.world.cut.difference_update(pairs))

    def api_down(self) -> str:
        length = self._length()
        self.cluster.store.weather.down = True
        self.cluster.world.after(length, lambda: setattr(self.cluster.store.weather, "down", False))
        return f"the API is away for {length:.1f} s"

    def api_bad(self) -> str:
        world, length = self.cluster.world, self._length()
        self.cluster.store.weather = Weather(
            self.cluster.store.weather.down, *(world.between(0, 0.5) for _ in range(3)), world.between(0, 3.0)
        )
        world.after(length, lambda: setattr(self.cluster.store, "weather", Weather()))
        return f"the API is in a bad way for {length:.1f} s"

    def terminate(self) -> str:
        """A pod is deleted: SIGTERM, a grace, another pod of the same name."""
        member = self._anybody()
        container = member.container
        if container is not None and not member.terminating:
            member.terminating = container.terminating = True
            self.cluster.show_pods()
            if container.agent is not None:
                container.agent.loop.call_soon(container.agent.agent.terminate)
            self.cluster.world.after(50.0, lambda: member.container_ended(container))
        return f"the pod of {member.name} is deleted"

    def force_delete(self) -> str:
        """The pod's object goes although its container lives on: its kubelet has not heard of it yet."""
        member, length = self._anybody(), self._length()
        container = member.container
        if container is not None and not member.vanished and not member.terminating:
            member.vanished = True
            self.cluster.show_pods()

            def kubelet_hears() -> None:
                member.vanished = False
                if member.container is container:
                    member.container_ended(container, report=False)
                    member.create_pod()
                self.cluster.show_pods()

            self.cluster.world.after(length, kubelet_hears)
        return f"the pod object of {member.name} vanishes"

    def kill_postmaster(self) -> str:
        member = self._anybody()
        if member.container is not None:
            member.container.fence.postmaster_died()
        return f"the postmaster of {member.name} is killed"

    def edit_lock(self) -> str:
        store, random = self.cluster.store, self.cluster.world.random
        record = store.lock.value.record
        if record is None or record.leader is None:
            return "nothing: there is no lease to edit"
        if self.cluster.world.chance(0.5):
            self._isolate_leader()
        kind = random.choice(["touch", "ttl", "leader", "no leader", "no holder", "epoch"])
        edited = {
            "touch": record,
            "ttl": msgspec.structs.replace(record, ttl=random.choice([1.0, record.ttl * 2])),
            "leader": msgspec.structs.replace(record, leader=random.choice(self.cluster.names)),
            "no leader": msgspec.structs.replace(record, leader=None),
            "no holder": msgspec.structs.replace(record, holder=None),
            "epoch": msgspec.structs.replace(record, epoch=record.epoch - 1),
        }[kind]
        self.person = self.person or kind not in ("touch", "ttl")
        store.lock.put(LockSeen(edited, store.next_version()))
        return f"a person edits the lock: {kind}"

    def delete_lock(self) -> str:
        """And made anew by a play that knows nothing of the past, while the leader may be cut off."""
        store, world = self.cluster.store, self.cluster.world
        if not self._with_data():
            return "nothing: only the lock remembers that there was a cluster"
        self.person = True
        if world.chance(0.5):
            self._isolate_leader()
        store.next_version()
        store.lock.put(LockSeen(None, trouble="the lock object is missing"))
        again = Lease(leader=None, epoch=0, ttl=store.ttl, released=0)
        world.after(world.between(0.1, 1.0), lambda: store.lock.put(LockSeen(again, store.next_version())))
        return "the lock object is deleted, and made anew"

    def delete_config(self) -> str:
        """What an agent that starts from now on can learn of the cluster's identity, others must tell it (S6)."""
        self.person = True
        self.cluster.store.configuration.put(ConfigSeen())
        return "the configuration object is deleted"

    def lose_memory(self) -> str:
        """The configuration object goes, all nodes lose power, and one of them its volume."""
        self.delete_config()
        self.kill_everything()
        member = self._anybody()
        if self._lock_remembers() or self._with_data(but=member):  # else nothing could tell that there was a cluster
            member.volume.data = None
            shutil.rmtree(member.folder / "state", ignore_errors=True)
        world, again = self.cluster.world, self.cluster.store
        version = again.next_version()
        world.after(5.0, lambda: again.configuration.put(ConfigSeen(version=version, config=again.config)))
        return f"the configuration object, the power and the volume of {member.name} are lost"

    def change_timing(self) -> str:
        """Another ttl: until a renewal with it is confirmed, its holder must obey the smaller."""
        timing = self.cluster.world.random.choice(TIMINGS)
        self.cluster.configured.timing = timing
        if not self._configure():
            return "nothing: the configuration object is gone"
        if self.cluster.world.chance(0.5):
            self.cluster.world.after(self.cluster.world.between(0.0, 3.0), lambda: self._isolate_leader(heard=True))
        return f"ttl, loop_wait and retry_timeout become {timing}"

    def _configure(self) -> bool:
        """A person writes the configuration; whether there is an object to write to."""
        store = self.cluster.store
        store.config, seen = self.cluster.configured.text(), store.configuration.value
        if seen.version:
            store.configuration.put(msgspec.structs.replace(seen, config=store.config, version=store.next_version()))
        return bool(seen.version)

    def change_synchronous(self) -> str:
        configured, random = self.cluster.configured, self.cluster.world.random
        configured.mode = random.choice(["on", "quorum", "off"])
        configured.strict, configured.count = self.cluster.world.chance(0.3), random.choice([1, 2])
        if not self._configure():
            return "nothing: the configuration object is gone"
        return f"synchronous mode {configured.mode}, strict {configured.strict}, count {configured.count}"

    def stop_writes(self) -> str:
        """The volume hangs or is full: PostgreSQL lives, and cannot prove that it works."""
        member, length = self._anybody(), 2 * self._length()
        container = member.container
        if container is not None:
            container.sick_since = container.sick_since or self.cluster.world.now
            self.cluster.world.after(length, lambda: setattr(container, "sick_since", None))
        return f"the volume of {member.name} takes no writes for {length:.1f} s"

    def step_clock(self) -> str:
        member, seconds = self._anybody(), self.cluster.world.between(-100, 100)
        member.clock.step += seconds
        return f"the wall clock of {member.name} steps by {seconds:.0f} s"

    def swap_volume(self) -> str:
        """Somebody mounts another cluster's volume: it must neither lead nor follow (S6)."""
        member = self._anybody()
        record = self.cluster.store.lock.value.record
        if self.foreign or (record is not None and record.leader == member.name) or self.cluster.checks.system is None:
            return "nothing: no volume is swapped"
        if member.container is not None:
            member.container_ended(member.container)
        branch = Branch(self.cluster.next_branch(), 9, 0)
        member.volume.data = Data("666", (branch,), 10**9, "foreign", was_primary=True)
        self.foreign, self.person = member.name, True
        if self.cluster.world.chance(0.4):
            self.delete_config()  # its new agent cannot learn whose cluster this is from there
        return f"{member.name} gets another cluster's volume"
