"""What happens to a cluster: each fault is drawn by chance, has its effect at once, and heals by itself.

A fault that only a person can heal (a deleted configuration, volumes with the only copy emptied) says so:
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
from pgherd.model.request import Request, Verb
from tests.simulation.api import Weather
from tests.simulation.cluster import TIMINGS, Cluster
from tests.simulation.database import Branch, Data
from tests.simulation.deceptions import drift, fill, lie_about, migrate, replace_copy, slow_stream
from tests.simulation.interruptions import Interruptions
from tests.simulation.maintenance import Maintenance
from tests.simulation.member import Container, Member
from tests.simulation.tagging import never_leads
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
            (3, self.delete_lock), (2, self.bring_back_lock), (2, self.forget_takeover),
            (1, self.delete_config), (2, self.step_clock), (1, self.swap_volume),
            (2, self.kill_everything), (3, self.force_delete), (2, self.lose_memory), (2, self.change_timing),
            (2, self.stop_writes), (7, self.deceive), (3, self.replace_copy), (5, self.ask_switchover),
            (2, self.ask_member), (6, self.api_gone), (4, Maintenance(self).strike),
            (3, self.change_synchronous), (3, self.lose_synchronous),
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
        """Who has a copy and may lead with it."""
        tags = self.cluster.tags
        there = [each for each in self.cluster.members.values() if each is not but and each.volume.data]
        return [each for each in there if not never_leads(tags, each.name)]

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
        self.cluster.cut(set(chosen), length)
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
        self.cluster.cut({pair for way in ways for pair in pairs[way]}, length)

    def _isolate_leader(self, heard: bool = False) -> None:
        """What is done to the lock meanwhile, its holder does not see; `heard`: what it writes arrives, though."""
        record, length = self.cluster.store.lock.value.record, self._length()
        if record is not None and record.leader in self.cluster.members:
            others = [name for name in self.cluster.names if name != record.leader]
            self._isolate(record.leader, others, ("to", "from"), length)
            self._isolate(record.leader, [API], ("to",) if heard else ("to", "from"), length)

    def api_down(self) -> str:
        length = self._length()
        self.cluster.store.weather.down = True
        self.cluster.world.after(length, lambda: setattr(self.cluster.store.weather, "down", False))
        return f"the API is away for {length:.1f} s"

    def api_gone(self) -> str:
        """For six ttl, for all or for the leader alone: it lives on promises, and something happens to those."""
        world, store, leader = self.cluster.world, self.cluster.store, self._leader()
        if leader is None or store.weather.down:
            return "nothing: there is no leader, or no API"
        ttl = store.ttl if store.lock.value.record is None else min(store.lock.value.record.ttl, 10.0)
        others, said = [name for name in self.cluster.names if name != leader.name], []
        before = world.between(2.0, 4.0) * ttl if others and world.chance(0.3) else 0.0
        if before:
            gone = others.pop(world.random.randrange(len(others)))
            self._power_off(self.cluster.members[gone], before + 8 * ttl)
            said.append(f"{gone} is off {before:.1f} s before")
        alone = world.chance(0.5)
        world.after(before, lambda: self._api_gone(leader.name, alone, 6 * ttl))
        for _ in range(world.random.randint(0, 2)):
            more = world.random.choice(
                [self._cut_candidate, self._freeze_leader, self._restart_promiser, self._bad_peers]
            )
            when = before + world.between(0.0, 4.0) * ttl
            world.after(when, lambda more=more: more(leader, others, ttl))  # type: ignore[misc]
            said.append(f"{more.__name__.strip('_').replace('_', ' ')} after {when:.1f} s")
        where = f"for {leader.name}" if alone else "for all"
        return f"the API is gone {where} for {6 * ttl:.0f} s{''.join(f', {each}' for each in said)}"

    def _leader(self) -> Member | None:
        record = self.cluster.store.lock.value.record
        return self.cluster.members.get(record.leader or "") if record is not None else None

    def _api_gone(self, leader: str, alone: bool, length: float) -> None:
        world, weather = self.cluster.world, self.cluster.store.weather
        if alone:
            self._isolate(leader, [API], ("to", "from"), length)
            return
        weather.down = True
        world.after(length, lambda: setattr(weather, "down", False))

    def _cut_candidate(self, leader: Member, others: list[str], ttl: float) -> None:
        """From then on one candidate promises nothing more."""
        if others:
            self._isolate(self.cluster.world.random.choice(others), [leader.name], ("to", "from"), 3 * ttl)

    def _freeze_leader(self, leader: Member, others: list[str], ttl: float) -> None:
        """In the middle of the next round, mostly; and what was promised then may be all there will be."""
        world, peers = self.cluster.world, self.cluster.peers

        def freeze() -> None:
            process = leader.container.agent if leader.container else None
            if process is None:
                return
            process.frozen = True
            world.after(world.between(0.1, 0.5) * ttl, lambda: setattr(process, "frozen", False))
            if world.chance(0.7):
                self._cut_candidate(leader, others, ttl)

        peers.when_asked = freeze

    def _restart_promiser(self, leader: Member, others: list[str], ttl: float) -> None:
        container = self.cluster.members[self.cluster.world.random.choice(others)].container if others else None
        if container is not None:
            container.end_agent()

    def _bad_peers(self, leader: Member, others: list[str], ttl: float) -> None:
        world, peers = self.cluster.world, self.cluster.peers
        peers.lost, peers.slow = world.between(0.0, 0.7), world.between(0.0, 0.7)

        def well() -> None:
            peers.lost = peers.slow = 0.0

        world.after(2 * ttl, well)

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
        kind = random.choice(["touch", "ttl", "leader", "no leader", "no holder", "epoch", "undone"])
        edited = {
            "touch": record,
            "ttl": msgspec.structs.replace(record, ttl=random.choice([1.0, record.ttl * 2])),
            "leader": msgspec.structs.replace(record, leader=random.choice(self.cluster.names)),
            "no leader": msgspec.structs.replace(record, leader=None),
            "no holder": msgspec.structs.replace(record, holder=None),
            "epoch": msgspec.structs.replace(record, epoch=record.epoch - 1),
        }.get(kind)
        if edited is None:
            return self._edit_for_a_moment(record)
        store.lock.put(LockSeen(edited, store.next_version()))
        return f"a person edits the lock: {kind}"

    def _edit_for_a_moment(self, record: Lease) -> str:
        """A slip of the hand that is put right at once: some see it, some do not, its holder perhaps."""
        store, world = self.cluster.store, self.cluster.world
        broken = LockSeen(None, store.next_version(), "the lock object is malformed")
        store.lock.put(broken)

        def undo() -> None:
            if store.lock.value is broken:
                store.lock.put(LockSeen(record, store.next_version()))

        world.after(world.between(0.0, 0.3), undo)
        return "a person edits the lock and puts it back"

    def _delete_lock(self) -> None:
        """And made anew, unless an agent was faster, by a play that knows nothing of the past."""
        store, world = self.cluster.store, self.cluster.world
        store.next_version()
        store.lock.put(LockSeen(None, trouble="the lock object is missing"))

        def play() -> None:
            if store.lock.value.record is None and not store.lock.value.version:
                again = Lease(leader=None, epoch=0, ttl=store.ttl, released=0)
                store.lock.put(LockSeen(again, store.next_version()))

        world.after(world.random.choice([world.between(0.0, 0.05), world.between(0.1, 1.0), 60.0]), play)

    def delete_lock(self) -> str:
        """While its holder may see nothing, or no object, or no other member; perhaps a second time."""
        world, record = self.cluster.world, self.cluster.store.lock.value.record
        if not self._with_data():
            return "nothing: only the lock remembers that there was a cluster"
        kind = world.random.choice(["", "", "alone", "without the API", "soon alone"])
        if kind == "alone":
            self._isolate_leader()
        elif kind == "without the API" and record is not None and record.leader in self.cluster.members:
            self._isolate(record.leader, [API], ("to", "from"), self._length())
        elif kind == "soon alone":
            world.after(world.between(0.0, 3.0), self._isolate_leader)
        self._delete_lock()
        if world.chance(0.2):
            world.after(world.between(0.0, 12.0), self._delete_lock)
        return f"the lock object is deleted, its holder is {kind or 'well'}"

    def bring_back_lock(self) -> str:
        """The API server is restored from a backup: an old copy of the record, with versions that go on."""
        store, world = self.cluster.store, self.cluster.world
        copies = [copy for copy in store.copies if self._known_as_old(copy)]
        if not copies:
            return "nothing: nobody could tell an old copy of the lock"
        copy = world.random.choice(copies[-world.random.choice([3, 10, len(copies)]) :])
        if world.chance(0.5):
            self._isolate_leader()
        store.lock.put(LockSeen(copy, store.next_version()))
        return f"the lock object is the copy of epoch {copy.epoch}, write {copy.serial}"

    def _known_as_old(self, copy: Lease) -> bool:
        """Whether every member with data has seen a newer record: who has not, and is alone, must believe it."""
        seen = [member.remembers() for member in self._with_data()]
        records = [each.record if each else None for each in seen]
        return all(record and (record.epoch, record.serial) > (copy.epoch, copy.serial) for record in records)

    def forget_takeover(self) -> str:
        """One member misses that another one took over, and hears of nothing when the lock is deleted after that."""
        world, record = self.cluster.world, self.cluster.store.lock.value.record
        if len(self.cluster.names) < 3 or record is None or record.leader not in self.cluster.members:
            return "nothing: there is nobody to take over from, or nobody to miss it"
        leader, length = self.cluster.members[record.leader], 2 * record.ttl + 10.0
        behind = world.random.choice([name for name in self.cluster.names if name != leader.name])
        others = [name for name in self.cluster.names if name != behind]
        self._isolate(behind, [API, *others], ("to", "from"), length)
        self._power_off(leader, length + 30.0)

        def end() -> None:
            self._delete_lock()
            for name in others:
                self._power_off(self.cluster.members[name], 30.0)

        world.after(length - 0.5, end)
        return f"{behind} misses who follows {leader.name}, the lock is deleted, and all others lose power"

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
        if not self.configure():
            return "nothing: the configuration object is gone"
        if self.cluster.world.chance(0.5):
            self.cluster.world.after(self.cluster.world.between(0.0, 3.0), lambda: self._isolate_leader(heard=True))
        return f"ttl, loop_wait and retry_timeout become {timing}"

    def configure(self) -> bool:
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
        if not self.configure():
            return "nothing: the configuration object is gone"
        return f"synchronous mode {configured.mode}, strict {configured.strict}, count {configured.count}"

    def stop_writes(self) -> str:
        """The volume hangs: PostgreSQL lives, and cannot prove that it works."""
        member, length = self._anybody(), 2 * self._length()
        container = member.container
        if container is not None:
            container.sick_since = container.sick_since or self.cluster.world.now
            self.cluster.world.after(length, lambda: setattr(container, "sick_since", None))
        return f"the volume of {member.name} takes no writes for {length:.1f} s"

    def _ask(self, verb: Verb, member: str | None) -> str:
        store = self.cluster.store
        request = Request(f"r{len(store.requests.value.requests)}", verb, member, at=f"{self.cluster.world.now:09.3f}")
        store.write_requests({request.id: request}, store.requests.value)
        return f"a person asks for {verb.value}{f' of {member}' if member else ''}"

    def ask_switchover(self) -> str:
        world = self.cluster.world
        return self._ask(Verb.SWITCHOVER, world.random.choice([None, *self.cluster.names]))

    def ask_member(self) -> str:
        world = self.cluster.world
        verb = world.random.choice([Verb.RESTART, Verb.RESTART, Verb.RELOAD, Verb.REINITIALIZE, Verb.FAILOVER])
        return self._ask(verb, self._anybody().name)

    def step_clock(self) -> str:
        member, seconds = self._anybody(), self.cluster.world.between(-100, 100)
        member.clock.step += seconds
        return f"the wall clock of {member.name} steps by {seconds:.0f} s"

    def deceive(self) -> str:
        """What looks like something else."""
        cluster, member, length = self.cluster, self._anybody(), self._length()
        tell: list[Callable[[], str]] = [
            lambda: lie_about(cluster, member, length),
            lambda: migrate(cluster, member, length),
            lambda: drift(cluster, member),
            lambda: fill(cluster, member, length),
            lambda: slow_stream(cluster, cluster.world.random.choice(list(cluster.members.values())), length),
        ]
        return cluster.world.random.choice(tell)()

    def replace_copy(self) -> str:
        record = self.cluster.store.lock.value.record
        leader = self.cluster.members.get((record.leader if record else None) or "", self._anybody())
        return replace_copy(self.cluster, leader, self._length())

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
