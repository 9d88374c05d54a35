"""Faults of the objects in the API: a lock that is edited, deleted or old, a configuration that is gone or another."""

from __future__ import annotations

import shutil

import msgspec

from pgherd.kubernetes.store import ConfigSeen, LockSeen
from pgherd.model.lease import Lease
from tests.simulation.cluster import TIMINGS
from tests.simulation.machines import Machines
from tests.simulation.world import API


class Objects(Machines):
    """Part of Faults. Some of them come with the loss of machines."""

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
        """One member misses that another one took over, and hears of nothing when the lock is lost after that."""
        world, record = self.cluster.world, self.cluster.store.lock.value.record
        if len(self.cluster.names) < 3 or record is None or record.leader not in self.cluster.members:
            return "nothing: there is nobody to take over from, or nobody to miss it"
        leader, length = self.cluster.members[record.leader], 2 * record.ttl + 10.0
        behind = world.random.choice([name for name in self.cluster.names if name != leader.name])
        others = [name for name in self.cluster.names if name != behind]
        self._isolate(behind, [API, *others], ("to", "from"), length)
        self._power_off(leader, length + 30.0)

        def end() -> None:
            now = self.cluster.store.lock.value.record
            if now is not None and world.chance(0.5):
                nobody = msgspec.structs.replace(now, leader=None, holder=None)
                self.cluster.store.lock.put(LockSeen(nobody, self.cluster.store.next_version()))
            else:
                self._delete_lock()
            for name in others:
                self._power_off(self.cluster.members[name], 30.0)

        world.after(length - 0.5, end)
        return f"{behind} misses who follows {leader.name}, the lock is lost, and all others lose power"

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

    def _lock_remembers(self) -> bool:
        record = self.cluster.store.lock.value.record
        return record is not None and record.holder is not None and record.holder.writable > 0

    def change_timing(self) -> str:
        """Another ttl: until a renewal with it is confirmed, its holder must obey the smaller."""
        timing = self.cluster.world.random.choice(TIMINGS)
        self.cluster.configured.timing = timing
        if not self.configure():
            return "nothing: the configuration object is gone"
        if self.cluster.world.chance(0.5):
            # The reply to the write that has it is lost, and so is everything else that its holder would hear.
            self._once_written(lambda old, new: new.ttl != old.ttl, lambda _: self._isolate_leader(heard=True))
        return f"ttl, loop_wait and retry_timeout become {timing}"

    def change_synchronous(self) -> str:
        configured, random = self.cluster.configured, self.cluster.world.random
        configured.mode = random.choice(["on", "quorum", "off"])
        configured.strict, configured.count = self.cluster.world.chance(0.3), random.choice([1, 2])
        if not self.configure():
            return "nothing: the configuration object is gone"
        return f"synchronous mode {configured.mode}, strict {configured.strict}, count {configured.count}"
