"""S1 to S8, checked on the modelled world after every event. Each violation begins with its number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgherd.model.lease import Lease
from pgherd.model.synchronous import ALONE, WAIT, Rule
from tests.simulation.database import Branch, Data
from tests.simulation.world import Violation

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster
    from tests.simulation.member import Container

FASTEST = 1.01
"""How much faster than true time an observer's clock may run."""


LONGEST_SICK = 15.0
"""Seconds after its last proof of health at which no holder has a PostgreSQL any more: the longest loop_wait and ttl
of the simulation, the drift of clocks, and the fence's step."""
SLOW = 6.0
"""Seconds that a write to the API may be under way."""


def _published(record: Lease) -> tuple[str | None, int]:
    return record.address, record.holder.writable if record.holder else 0


class Checks:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._ends: dict[str, float] = {}
        """By member: true time at which an observer may think that its lease has ended."""
        self._holder: str | None = None
        """Whose own write made the lease and has not given it up, whatever a person edited since."""
        self._published: Branch | None = None
        self._wrote: dict[str, tuple[float, Branch, str]] = {}
        """By member: when it accepted writes last, on which branch of which system."""
        self._timelines: set[int] = set()
        self._acked: Data | None = None
        """The line up to the last commit that a client was told of."""
        self._line: Data | None = None
        """Where the last promotion began: whoever is not on it, has been left behind."""
        self._promised = False
        """The lease that was taken last had a synchronous set: its taker has every acknowledged commit."""
        self.acknowledged_synchronously = 0
        self.system: str | None = None
        self.primaries = 0
        """Promotions and publications seen: a run without any proves nothing."""

    def _fail(self, text: str) -> None:
        world = self._cluster.world
        world.violation = world.violation or Violation(f"{text} (at {world.now:.3f} s)")
        raise world.violation

    def _writers(self) -> list[Container]:
        return [
            container
            for container in self._cluster.containers()
            if container.fence.instance is not None and container.fence.instance.accepts_writes
        ]

    def one_primary(self) -> None:
        """S1: at no instant two; S4: none past its lease. A frozen node writes nothing, and is judged when it wakes."""
        now = self._cluster.world.now
        running = [container for container in self._writers() if not container.frozen]
        awake = [container for container in running if container.exempt_until < now]
        for container in running:
            data = container.volume.data
            assert data is not None
            self._wrote[container.member.name] = (now, data.branch, data.system)
        if len(awake) > 1:
            self._fail(f"S1 two members accept writes: {', '.join(c.member.name for c in awake)}")
        for container in awake:
            sick, instance = container.sick_since, container.fence.instance
            if sick is not None and instance and now - max(sick, instance.writes_since) > LONGEST_SICK:
                self._fail(f"S4 {container.member.name} is a primary and could not prove that it works for long")
            if now > self._ends.get(container.member.name, 0.0):
                self._fail(f"S4 {container.member.name} accepts writes after its lease has ended")

    def lock_written(self, who: str, before: Lease | None, after: Lease) -> None:
        """Just before the lock object changes."""
        world, member = self._cluster.world, self._cluster.members[who]
        if after.leader is None or after.holder is None:
            return
        self._ends[who] = world.now + after.ttl / FASTEST
        self._holder = None if after.free or after.handover is not None else who
        taken = before is None or after.epoch != before.epoch
        if taken:
            self._promised = before is not None and before.sync is not None
        writers = [c.member.name for c in self._writers() if not c.frozen and c.exempt_until < world.now]
        if taken and [name for name in writers if name != who]:
            self._fail(f"S1 {who} takes the lease while {', '.join(writers)} accepts writes")
        if (after.free or after.handover is not None) and who in writers:
            self._fail(f"S1 {who} gives the lease up while it accepts writes")
        data = member.volume.data
        if data is not None and self.system is not None and data.system != self.system:
            self._fail(f"S6 {who} holds the lease with data of system {data.system}, the cluster is {self.system}")
        if after.address is not None and (before is None or _published(before) != _published(after)):
            self._publishing(who, after)
        if not taken and who in writers and data is not None:
            self._candidates(after, data)

    def acknowledged(self, data: Data) -> None:
        """A client was told that this is committed."""
        record = self._cluster.store.lock.value.record
        if record is not None and record.sync is not None and record.sync.members:
            self.acknowledged_synchronously += 1
        if self._acked is not None and self._acked.holds(data):
            return
        if self._promised and self._line is not None and not data.holds(self._line):
            self._fail(f"S3 {data.position} is acknowledged on a line that the cluster has left by then")
        self._acked = data

    def _publishing(self, who: str, after: Lease) -> None:
        """Clients are sent where writes were accepted, on the timeline that the lease names.

        The write was decided up to SLOW ago: PostgreSQL may have died since.
        """
        assert after.holder is not None
        when, branch, system = self._wrote.get(who, (-SLOW, None, ""))
        if branch is None or self._cluster.world.now - when > SLOW:
            self._fail(f"S2 {who} publishes its address and accepted no writes")
        elif after.holder.writable != branch.timeline or after.holder.timeline != branch.timeline:
            self._fail(f"S2 {who} publishes timeline {after.holder.writable} and was on {branch.timeline}")
        else:
            self.primaries += branch != self._published
            self._published, self.system = branch, system
            self._timelines.add(branch.timeline)

    def _candidates(self, after: Lease, data: Data) -> None:
        """S8: with the data that it was recorded with, a candidate can stream from the holder."""
        for candidate in after.candidates:
            other = self._cluster.members[candidate.member].volume.data
            if other is not None and other.incarnation == candidate.incarnation and not other.may_stream_from(data):
                self._fail(f"S8 {candidate.member} is a candidate and cannot stream from {after.leader}")

    def promoting(self, container: Container, data: Data, timeline: int) -> None:
        """S2: with the lease, and with the latest timeline in its past."""
        name = container.member.name
        if self._holder != name:
            self._fail(f"S2 {name} becomes a primary while {self._holder} holds the lease")
        if self._published is not None and self._published not in data.line:
            self._fail(f"S2 {name} becomes a primary without timeline {self._published.timeline} in its history")
        if self._promised and self._acked is not None and not data.holds(self._acked):
            text = f"{data.position} lacks acknowledged commits up to {self._acked.position}"
            self._fail(f"S3 {name} becomes a primary with a synchronous set, and {text}")
        if timeline in self._timelines:
            self._fail(f"S2 timeline {timeline} is made a second time, by {name}")
        self._timelines.add(timeline)

    def promoted(self, data: Data) -> None:
        """From now on what counts is on this branch."""
        self._line = data
        if not self._promised:
            self._acked = None

    def started(self, member: str, data: Data, writable: bool, source: str | None) -> None:
        """S5: nobody starts to follow a primary whose line it is not on."""
        if writable or source is None:
            return
        container = self._cluster.members[source].container
        instance = container.fence.instance if container else None
        leader = self._cluster.members[source].volume.data
        if instance is None or not instance.accepts_writes or leader is None:
            return
        if self.system is not None and data.system != self.system:
            self._fail(f"S6 {member} starts to follow {source} with data of system {data.system}")
        if not data.may_stream_from(leader):
            self._fail(f"S5 {member} starts to follow {source} and has diverged from it")

    def replaced(self, member: str, old: Data | None, new: Data, aside: list[Data]) -> None:
        """S5: what the new data lack was kept aside before the old ones went; S6: they were of this cluster."""
        if old is not None and old.system != new.system:
            self._fail(f"S6 {member} replaces data of system {old.system}")
        if old is not None and not new.holds(old) and not any(kept.lsn == old.lsn for kept in aside):
            self._fail(f"S5 {member} loses WAL that nobody kept")

    def initialised(self, member: str) -> None:
        """S7: once, and never when anybody has data."""
        holders = [name for name, other in self._cluster.members.items() if other.volume.data is not None]
        if self._published is not None:
            self._fail(f"S7 {member} initialises a cluster that was writable on timeline {self._published.timeline}")
        if holders:
            self._fail(f"S7 {member} initialises while {', '.join(holders)} has data")

    def settled(self) -> bool:
        """Liveness: one published primary, everybody else streams from it, and may take its place."""
        record = self._cluster.store.lock.value.record
        if record is None or record.leader is None or record.address is None or record.free:
            return False
        leader = self._cluster.members[record.leader].container
        if leader is None or leader not in self._writers() or record.address != leader.member.address:
            return False
        others = [member for name, member in self._cluster.members.items() if name != record.leader]
        named = {candidate.member for candidate in record.candidates}
        if not all(self._streams(member.container) and member.name in named for member in others):
            return False
        return self._synchronous(record, leader, len(others))

    def _synchronous(self, record: Lease, leader: Container, others: int) -> bool:
        """The set is as large as it should be, and commits wait for it and for nobody else."""
        wanted, instance = self._cluster.configured, leader.fence.instance
        sync = record.sync
        if sync is None or wanted.mode == "off":
            return sync is None and wanted.mode == "off" and instance is not None and instance.rules == (ALONE,)
        rule = Rule(sync.members, sync.votes) if sync.members else WAIT if wanted.strict else ALONE
        size = others if wanted.mode == "quorum" else min(wanted.count, others)
        whole = len(sync.members) == size and sync.votes == min(wanted.count, others)
        return whole and instance is not None and instance.rules == (rule,)

    @staticmethod
    def _streams(container: Container | None) -> bool:
        instance = container.fence.instance if container else None
        return instance is not None and instance.running and instance.streaming
