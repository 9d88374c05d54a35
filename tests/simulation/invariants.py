"""S1 to S8, checked on the modelled world after every event. Each violation begins with its number."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pgherd.model.lease import Candidate, Lease
from pgherd.model.promises import Question
from pgherd.model.standby import REMOTE
from pgherd.model.synchronous import ALONE, WAIT, Rule, Standby
from pgherd.runtime.seen import LeaseSeen
from tests.simulation.database import Branch, Data
from tests.simulation.tagging import cascades, never_leads
from tests.simulation.world import Violation

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster
    from tests.simulation.member import Container, Member

LAG = 20_000
"""maximum_lag_on_failover of the simulated clusters, bytes: some four seconds of writes."""
FASTEST = 1.01
"""How much faster than true time an observer's clock may run."""


LONGEST_SICK = 15.0
"""Seconds after its last proof of health at which no holder has a PostgreSQL any more: the longest loop_wait and ttl
of the simulation, the drift of clocks, and the fence's step."""
LONGEST_WISH = 90.0
"""Seconds after which every agent that can promote has heard that its cluster is a standby cluster."""
SLOW = 6.0
"""Seconds that a write to the API may be under way."""


def _published(record: Lease) -> tuple[str | None, int]:
    return record.address, record.holder.writable if record.holder else 0


class Checks:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._ends: dict[str, float] = {}
        """By member: true time at which an observer may think that its lease has ended."""
        self._promises: dict[tuple[str, int], dict[str, float]] = {}
        """By holder and epoch: true time until which each member has promised not to take it."""
        self._named: dict[str, tuple[int, tuple[str, ...]]] = {}
        """By member: the epoch of its last write of the lock, and whom it named as candidates."""
        self._unbound: set[str] = set()
        """Who wrote no synchronous set into its last record."""
        self._resumed: dict[str, float] = {}
        """By member: when its pause ended. In a pause its PostgreSQL need not prove that it works."""
        self._holder: str | None = None
        """Whose own write made the lease and has not given it up, whatever a person edited since."""
        self._published: Branch | None = None
        self._wrote: dict[str, tuple[float, Branch, str]] = {}
        """By member: when it accepted writes last, on which branch of which system."""
        self._timelines: set[int] = set()
        self._answered: dict[tuple[str, str], float] = {}
        """By (who asked, who answered): when last."""
        self._sent: dict[str, Data | None] = {}
        """By member: what it had when it sent its last write of the lock."""
        self._renewed = 0.0
        """True time of the last write of the lock by a member."""
        self.reported: set[str] = set()
        """Containers whose death a kubelet has reported."""
        self._nonces: set[str] = set()
        """Of every write: a record with one of them is a restored one, and makes nobody a holder."""
        self._acked: Data | None = None
        """The line up to the last commit that a client was told of."""
        self._line: Data | None = None
        """Where the last promotion began: whoever is not on it, has been left behind."""
        self._inherits = False
        """The lease that was taken last had a synchronous set: its taker has every acknowledged commit."""
        self.acknowledged_synchronously = 0
        self.configured_since = 0.0
        """True time since which the cluster is of its kind, standby or not."""
        self.system: str | None = None
        self.primaries = 0
        """Promotions and publications seen: a run without any proves nothing."""

    def _fail(self, text: str) -> None:
        world = self._cluster.world
        world.violation = world.violation or Violation(f"{text} (at {world.now:.3f} s)")
        raise world.violation

    def _writers(self) -> list[Container]:
        found = []
        for member in self._cluster.members.values():
            container = member.container
            if container is not None:
                instance = container.fence.instance
                if instance is not None and instance.accepts_writes:
                    found.append(container)
        return found

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
            name = container.member.name
            ill = max(sick or now, instance.writes_since if instance else now, self._resumed.get(name, 0.0))
            if self._ends.get(name) != math.inf and now - ill > LONGEST_SICK:
                self._fail(f"S4 {container.member.name} is a primary and could not prove that it works for long")
            if now > self._ends.get(container.member.name, 0.0) and not self._promised(container.member.name):
                self._fail(f"S4 {container.member.name} accepts writes after its lease has ended")

    def promised(self, promiser: Container, holder: str, asked: Question) -> None:
        """S1: promise and take exclude each other in a member; its clock may be fast."""
        process = promiser.agent
        if process is not None and process.client.taking():
            self._fail(f"S1 {promiser.member.name} promises {holder} not to take what it is about to take")
        given = self._promises.setdefault((holder, asked.epoch), {})
        until = self._cluster.world.now + asked.ttl / FASTEST
        given[promiser.member.name] = max(given.get(promiser.member.name, 0.0), until)

    def _promised(self, holder: str) -> bool:
        """Whether everybody whom the holder's last write that happened names has promised, and still has to keep it."""
        epoch, named = self._named.get(holder, (0, ()))
        given = self._promises.get((holder, epoch), {})
        return self._holder == holder and all(given.get(name, 0.0) >= self._cluster.world.now for name in named)

    def lock_written(self, who: str, before: Lease | None, after: Lease) -> None:
        """Just before the lock object changes."""
        world, member = self._cluster.world, self._cluster.members[who]
        if after.leader is None or after.holder is None:
            return
        if after.nonce in self._nonces:
            self._restored(who, after)
            return
        self._nonces.add(after.nonce)
        if before is not None and before.pause and not after.pause:
            self._resumed[who] = world.now
        self._named[who] = (after.epoch, tuple(candidate.member for candidate in after.candidates))
        self._unbound = self._unbound - {who} | ({who} if after.sync is None else set())
        taken = before is None or after.epoch != before.epoch
        if taken:
            self._inherits = before is not None and before.sync is not None
            self._ends = dict.fromkeys(self._ends, 0.0)
        self._ends[who] = math.inf if after.pause else world.now + after.ttl / FASTEST
        healed = self._holder == who  # its own lease, told by an object that was lost or brought back
        self._holder = None if after.free or after.handover is not None else who
        writers = [c.member.name for c in self._writers() if not c.frozen and c.exempt_until < world.now]
        if taken and [name for name in writers if name != who]:
            self._fail(f"S1 {who} takes the lease while {', '.join(writers)} accepts writes")
        if (after.free or after.handover is not None) and who in writers:
            self._fail(f"S1 {who} gives the lease up while it accepts writes")
        data = member.volume.data
        sent, opened = self._sent.get(who), self._renewed + (before.ttl / FASTEST if before else 0.0)
        if taken and not healed and sent is not None and before is not None and not before.free:
            self._taking(member, before, sent, opened)
        self._renewed = world.now
        if data is not None and self.system is not None and data.system != self.system:
            self._fail(f"S6 {who} holds the lease with data of system {data.system}, the cluster is {self.system}")
        if after.holder.standby and (after.address is not None or after.holder.writable == 0):
            self._follows(who, after)
        elif after.address is not None and (before is None or _published(before) != _published(after)):
            self._publishing(who, after)
        if not taken and who in writers and data is not None:
            self._candidates(after, data)

    def answered(self, who: str, target: str) -> None:
        self._answered[who, target] = self._cluster.world.now

    def sending(self, who: str) -> None:
        self._sent[who] = self._cluster.members[who].volume.data

    def _taking(self, member: Member, before: Lease, data: Data, opened: float) -> None:
        """S2: near enough to what the lease says was written. S8: without proof, only data that was recorded as a
        candidate's, or on the word of all who are recorded, given since the lease could have ended."""
        who, holder = member.name, before.holder
        if holder is None or who == before.leader:
            return
        # Who has every acknowledged commit lacks nothing that anybody was told of, however much WAL it lacks: S3 is
        # checked for it.
        waited_for = before.sync is not None and before.sync.has(Standby(who, data.incarnation))
        if before.optime - data.lsn > LAG and not waited_for:
            self._fail(f"S2 {who} takes the lease {before.optime - data.lsn} bytes behind")
        given = before.handover
        named = (given is not None and (given.to, given.incarnation) == (who, data.incarnation)) or (
            Candidate(who, data.incarnation) in before.candidates
        )
        if named or holder.container in self.reported or holder.uid == member.uid:
            return
        needed = {before.leader or "", *(candidate.member for candidate in before.candidates)} - {who}
        silent = [name for name in needed if self._answered.get((who, name), -math.inf) < opened]
        if silent:
            self._fail(f"S8 {who} takes the lease with data of no candidate, and {', '.join(silent)} did not answer")

    def _restored(self, who: str, after: Lease) -> None:
        """A lost lock is put back for everybody to wait out: under an epoch of its own, and given to nobody."""
        seen = max((memory.epoch for memory in self._memories()), default=0)
        if after.epoch <= seen:
            self._fail(f"S2 {who} restores the lock under epoch {after.epoch}, and {seen} was seen")

    def _memories(self) -> list[LeaseSeen]:
        return [memory for member in self._cluster.members.values() if (memory := member.remembers()) is not None]

    def _forgotten(self, branch: Branch) -> bool:
        """Whether a timeline went with the only volume that had it, and nothing speaks of it any more."""
        records = [*(memory.record for memory in self._memories()), self._cluster.store.lock.value.record]
        spoken = [record.holder.writable for record in records if record is not None and record.holder is not None]
        data = [member.volume.data for member in self._cluster.members.values()]
        return max(spoken, default=0) < branch.timeline and not any(each and branch in each.line for each in data)

    def acknowledged(self, who: str, data: Data) -> None:
        """A client was told that this is committed.

        In its last moment after a freeze also by a former holder whose lease had no set: it promised nothing (S3).
        """
        if self._holder != who and who in self._unbound:
            return
        record = self._cluster.store.lock.value.record
        if record is not None and record.sync is not None and record.sync.members:
            self.acknowledged_synchronously += 1
        if self._acked is not None and self._acked.holds(data):
            return
        if self._inherits and self._line is not None and not data.holds(self._line):
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

    def _follows(self, who: str, after: Lease) -> None:
        """A standby leader's record: what a promotion is measured against from now on (S2).

        What was acknowledged here counts as long as the lease has its set: then the remote primary's line is the truth.
        """
        assert after.holder is not None
        data = self._cluster.members[who].volume.data
        if after.holder.writable == 0 and after.sync is None:
            self._published = self._acked = None  # said before the data are replaced
            self._inherits = False
        if data is None or after.holder.writable == 0:
            return
        self.system = self.system or data.system
        found = [branch for branch in data.line if branch.timeline == after.holder.writable]
        if found and after.holder.writable == after.holder.timeline:
            self.primaries += found[0] != self._published
            self._published = found[0]
        if after.sync is None:
            self._acked, self._inherits = None, False

    def _candidates(self, after: Lease, data: Data) -> None:
        """S8: with the data that it was recorded with, a candidate can stream from the holder."""
        for candidate in after.candidates:
            other = self._cluster.members[candidate.member].volume.data
            if other is not None and other.incarnation == candidate.incarnation and not other.may_stream_from(data):
                self._fail(f"S8 {candidate.member} is a candidate and cannot stream from {after.leader}")

    def promoting(self, container: Container, data: Data, timeline: int) -> None:
        """S2: with the lease, and with the latest timeline in its past."""
        name, again = container.member.name, timeline in self._timelines
        self._timelines.add(timeline)
        world_now = self._cluster.world.now
        if container.exempt_until >= world_now:
            return
        if self._holder != name:
            self._fail(f"S2 {name} becomes a primary while {self._holder} holds the lease")
        if never_leads(self._cluster.tags, name):
            self._fail(f"tags: {name} becomes a primary and has nofailover")
        published = self._published
        if published is not None and self._forgotten(published):
            self._timelines = {number for number in self._timelines if number < published.timeline}
            again, published = timeline in self._timelines, None
        if published is not None and published not in data.line:
            self._fail(f"S2 {name} becomes a primary without timeline {published.timeline} in its history")
        if self._inherits and self._acked is not None and not data.holds(self._acked):
            text = f"{data.position} lacks acknowledged commits up to {self._acked.position}"
            self._fail(f"S3 {name} becomes a primary with a synchronous set, and {text}")
        if self._cluster.configured.standby and world_now - self.configured_since > LONGEST_WISH:
            self._fail(f"S2 {name} becomes a primary of a standby cluster")
        if again:
            self._fail(f"S2 timeline {timeline} is made a second time, by {name}")

    def promoted(self, data: Data) -> None:
        """From now on what counts is on this branch."""
        self._line = data
        if not self._inherits:
            self._acked = None

    def started(self, member: str, data: Data, writable: bool, source: str | None) -> None:
        """S5: nobody starts to follow a primary whose line it is not on."""
        if writable or source in (None, REMOTE):
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
        if record is None or record.leader is None or record.address is None or record.free or record.pause:
            return False
        leader = self._cluster.members[record.leader].container
        if leader is None or record.address != leader.member.address:
            return False
        leads = self._leads_standbys(record, leader) if self._cluster.configured.standby else leader in self._writers()
        if not leads:
            return False
        if any(not request.finished for request in self._cluster.store.requests.value.requests):
            return False
        others = [member for name, member in self._cluster.members.items() if name != record.leader]
        named = {candidate.member for candidate in record.candidates}
        tags = self._cluster.tags
        free = {member.name for member in others if not never_leads(tags, member.name)}
        free -= {member.name for member in others if cascades(tags, member.name)}
        if not free <= named or not all(self._streams(member.container) for member in others):
            return False
        direct = [m for m in others if not never_leads(tags, m.name) and self._follows_whom(m.container, record.leader)]
        return self._synchronous(record, leader, len(direct))

    def _leads_standbys(self, record: Lease, leader: Container) -> bool:
        """A standby leader gets what the remote primary writes, and nobody accepts writes."""
        assert record.holder is not None
        if self._stranger():
            return record.holder.standby or leader in self._writers()
        streams = self._streams(leader) and self._follows_whom(leader, REMOTE)
        return record.holder.standby and streams and not self._writers()

    def _stranger(self) -> bool:
        """The remote primary is of another cluster: nobody follows it, whatever the configuration says (S6)."""
        return self._cluster.remote.data.system != self.system

    def _synchronous(self, record: Lease, leader: Container, others: int) -> bool:
        """The set is as large as it should be, and commits wait for it and for nobody else."""
        if self._cluster.configured.standby:
            return record.sync is None or self._stranger()
        wanted, instance = self._cluster.configured, leader.fence.instance
        sync = record.sync
        if sync is None or wanted.mode == "off":
            return sync is None and wanted.mode == "off" and instance is not None and instance.rules == (ALONE,)
        rule = Rule(sync.members, sync.votes) if sync.members else WAIT if wanted.strict else ALONE
        size = others if wanted.mode == "quorum" else min(wanted.count, others)
        whole = len(sync.members) == size and sync.votes == min(wanted.count, others)
        return whole and instance is not None and instance.rules == (rule,)

    @staticmethod
    def _follows_whom(container: Container | None, leader: str) -> bool:
        instance = container.fence.instance if container else None
        return instance is not None and instance.following == leader

    @staticmethod
    def _streams(container: Container | None) -> bool:
        instance = container.fence.instance if container else None
        return instance is not None and instance.running and instance.streaming
