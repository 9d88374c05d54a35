"""What clients saw of a fault, and the one verdict on it: who wrote when, what is gone, what the receipts admit.

Pure but for `Witness`, which runs the clients: one for each member by pod IP, so that a second primary is noticed by
whoever still has a session with it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pgherd.model.position import parse_lsn
from tests.ha.harness.clients import Ack, Writer, longest_gap
from tests.ha.harness.cluster import Cluster
from tests.ha.harness.member import Member
from tests.ha.harness.wait import eventually

STEP = 1_000_000
"""Rows that each member's writer has for itself."""
PAUSE = 0.004
WAKING = 1.0
"""Seconds that a thawed machine may take, on a busy one, until its fence has killed."""


def two_primaries(acks: Mapping[str, Sequence[Ack]]) -> list[str]:
    """S1: each member's time on a timeline, from the first row sent to the last acknowledged, is its own."""
    tenures: dict[tuple[int, str], tuple[float, float]] = {}
    for member, rows in acks.items():
        for ack in rows:
            begin, end = tenures.get((ack.timeline, member), (ack.sent, ack.done))
            tenures[ack.timeline, member] = min(begin, ack.sent), max(end, ack.done)
    found = []
    for (one, (_, end)), (other, (begin, _)) in itertools.pairwise(sorted(tenures.items(), key=lambda each: each[1])):
        if begin <= end:
            found.append(
                f"{one[1]} (timeline {one[0]}) and {other[1]} (timeline {other[0]}) wrote for {end - begin:.3f} s"
            )
        if other[0] < one[0] or (other[0] == one[0] and other[1] != one[1]):
            found.append(f"{other[1]} wrote on timeline {other[0]} after {one[1]} on {one[0]}")
    return found


def after_thaw(acks: Sequence[Ack], thawed: float, timeline: int) -> list[Ack]:
    """The one exception of S1: what a machine that had stood still acknowledged on its old timeline before its fence
    had run. Fails when that took longer than a fence takes."""
    late = sorted((ack for ack in acks if ack.done >= thawed and ack.timeline < timeline), key=lambda ack: ack.done)
    assert not late or late[-1].done - late[0].done < WAKING, f"{len(late)} rows after the thaw"
    return late


def unadmitted(lost: Sequence[Ack], receipts: Sequence[Mapping[str, Any]]) -> list[Ack]:
    """Rows that no receipt admits: it says where (`to.lsn`) the new timeline left the old one, or every one since
    `from.writable` when a holder died before clients were sent to it."""

    def admitted(ack: Ack) -> bool:
        left = [(each["from"], parse_lsn(each["to"]["lsn"])) for each in receipts]
        return any(
            old.get("writable", old["timeline"]) <= ack.timeline <= old["timeline"] and ack.lsn > fork
            for old, fork in left
        )

    return [ack for ack in lost if not admitted(ack)]


class Witness:
    """The clients of one test; `start` before the fault, `verdict` when all is over."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.writers = {
            name: Writer(cluster.database, member.address, pause=PAUSE) for name, member in cluster.members.items()
        }

    def start(self, leader: Member) -> None:
        with self.cluster.database.session(leader.address) as session:
            session.execute("create table written (row bigint primary key)")
        for index, writer in enumerate(self.writers.values()):
            writer.start(index * STEP)
        self.wrote(leader, 10)

    def stop(self) -> None:
        for writer in self.writers.values():
            writer.stop()

    def count(self, member: Member) -> int:
        return len(self.writers[member.name].acks)

    def wrote(self, member: Member, more: int = 10, within: float = 15) -> None:
        """Wait until so many more rows were acknowledged by that member."""
        goal = self.count(member) + more
        eventually(f"{more} more rows on {member.name}", lambda: self.count(member) >= goal, within)

    def acks(self) -> list[Ack]:
        return sorted((ack for writer in self.writers.values() for ack in writer.acks), key=lambda ack: ack.done)

    @property
    def gap(self) -> float:
        """Seconds: the longest time without an acknowledged row, whoever acknowledged."""
        return longest_gap(self.acks())

    def verdict(self, leader: Member, within: float = 60) -> list[Ack]:
        """All stream from the leader, nobody wrote beside it, no row is gone unadmitted. The rows that are gone."""
        cluster = self.cluster
        settled(cluster, leader, within)
        self.stop()
        there = {int(str(row[0])) for row in cluster.database.ask(leader.address, "select row from written")}
        lost = [ack for ack in self.acks() if ack.row not in there]
        assert two_primaries({name: writer.acks for name, writer in self.writers.items()}) == []
        if lost:  # a receipt may be a moment behind the lease
            eventually("a receipt that admits it", lambda: not unadmitted(lost, cluster.objects.history()), 15)
        print(f"gap {self.gap:.2f} s with ttl {cluster.ttl:g}, {len(lost)} of {len(self.acks())} rows lost")
        return lost


@dataclass(frozen=True)
class Scene:
    """A running cluster of three that is being written to."""

    cluster: Cluster
    leader: Member
    """At the start."""
    witness: Witness

    @property
    def others(self) -> list[Member]:
        return [member for member in self.cluster.members.values() if member is not self.leader]

    def another(self, than: Member | None = None, within: float | None = None) -> Member:
        """Another member than that one (the first leader) is writable, and was written to."""
        limit = self.cluster.ttl + 12 if within is None else within
        new = eventually("another leader", lambda: self.cluster.writable(than or self.leader), limit)
        self.witness.wrote(new)
        return new


def settled(cluster: Cluster, leader: Member, within: float) -> None:
    """The leader is writable and sees every other member stream, all of which are recorded as candidates."""

    def well() -> bool:
        rows = cluster.database.ask(leader.address, "select application_name, state from pg_stat_replication")
        # The state is hidden from an ordinary user; each member says of its own receiver what it may.
        names = {str(name) for name, _ in rows}
        others = set(cluster.members) - {leader.name}
        return len(rows) >= len(others) and names >= others and cluster.streaming() >= others <= cluster.candidates()

    eventually(f"all stream from {leader.name}", well, within)
    assert cluster.writable() is leader
