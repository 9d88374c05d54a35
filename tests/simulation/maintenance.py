"""A person's maintenance: a pause is asked for, PostgreSQL is stopped and started by hand, the pause ends.

What happens to a paused cluster is what happens to any; and at the moments that matter, when the pause is recorded,
while it holds and when it is cleared, the leader may be cut off or hang.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pgherd.decide.maintenance import declared_dead
from tests.simulation.api import through_annotations
from tests.simulation.world import API

if TYPE_CHECKING:
    from tests.simulation.faults import Faults
    from tests.simulation.member import Container

AGAIN = 5.0
"""Seconds between two looks of the person whether the cluster has come out of the pause."""
PATIENCE = 30.0
"""Seconds after which the person looks for the holder of a lease that stays paused."""


class Maintenance:
    def __init__(self, faults: Faults) -> None:
        self._faults, self._cluster, self._world = faults, faults.cluster, faults.cluster.world

    def strike(self) -> str:
        length = self._world.between(3.0, 25.0)
        self._trouble()
        self._wish(True)
        self._world.after(self._world.between(0.5, length / 2), self._trouble)
        if self._world.chance(0.6):
            self._world.after(self._world.between(0.5, length), self._stop_by_hand)
        self._world.after(length, self._end)
        return f"maintenance for {length:.1f} s"

    def _wish(self, pause: bool) -> None:
        self._cluster.configured.pause = pause
        self._faults.configure()

    def _end(self) -> None:
        if self._world.chance(0.5):
            self._lose_the_reply()
        else:
            self._trouble()
        self._wish(False)
        self._world.after(PATIENCE, self._look_for_the_holder)

    def _lose_the_reply(self) -> None:
        """The write that ends the pause has its effect, and its sender does not hear of it."""
        length = self._world.between(5.0, 20.0)
        self._faults._once_written(
            lambda old, new: old.pause and not new.pause, lambda who: self._cluster.cut({(API, who)}, length)
        )

    def _trouble(self) -> None:
        """The leader's next write may be lost, or its reply; and a little later its agent may hang."""
        world, record = self._world, self._cluster.store.lock.value.record
        if record is None or record.leader not in self._cluster.members or not world.chance(0.5):
            return
        name, length = record.leader, world.between(5.0, 20.0)
        way = (name, API) if world.chance(0.5) else (API, name)
        world.after(world.between(0.0, 0.1), lambda: self._cluster.cut({way}, length))
        container = self._cluster.members[name].container
        if container is not None and world.chance(0.7):
            world.after(world.between(0.02, 1.5), lambda: self._freeze(container, length))

    def _freeze(self, container: Container, length: float) -> None:
        process = container.agent
        if process is not None:
            process.frozen = True
            self._world.after(length, lambda: setattr(process, "frozen", False))

    def _stop_by_hand(self) -> None:
        """Through the fence, as `pgherd restart` does: it refuses where no pause is recorded."""
        for container in self._cluster.containers():
            instance = container.fence.instance
            if container.fence.paused and not container.frozen and instance is not None and instance.accepts_writes:
                self._world.say(container.member.name, "a person stops PostgreSQL")
                container.shut_down(instance)
                container.fence.kill()
                self._world.after(self._world.between(0.2, 10.0), lambda c=container: self._start_by_hand(c))  # type: ignore[misc]

    def _start_by_hand(self, container: Container) -> None:
        fence, data = container.fence, container.volume.data
        if container.gone or container.frozen or not fence.paused or fence.instance is not None or not fence.dead:
            return
        if data is None or not data.was_primary or data.half_rewound:
            return
        self._world.say(container.member.name, "a person starts PostgreSQL")
        instance = fence.start(True, None)
        self._world.after(self._world.between(0.05, 1.5), lambda: container.came_up(instance))

    def _look_for_the_holder(self) -> None:
        """`pgherd resume --leader-is-dead`, by somebody who has looked: no pod with the lease's UID is left."""
        store, uids = self._cluster.store, {member.uid for member in self._cluster.members.values()}
        record = store.lock.value.record
        if json.loads(store.config).get("pause"):
            return
        if record is not None and record.holder is not None:
            if not record.pause:
                return
            if record.holder.uid not in uids:
                self._world.say("person", f"{record.leader} is dead")
                store.lock.put(through_annotations(declared_dead(record, "a person's word"), store.next_version()))
                return
        self._world.after(AGAIN, self._look_for_the_holder)  # also while the lock is lost: its record comes back
