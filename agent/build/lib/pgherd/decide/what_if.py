"""What if a member disappears now? Answered by the same decisions that the others would make.

Each other member's view is made from what the members say of themselves: the one that is gone is silent, its lease
has just ended, and everybody has been asked. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from pgherd.decide.core import decide
from pgherd.model.actions import Loser, WriteLease
from pgherd.model.knowledge import Knowledge, WriteKind
from pgherd.model.lease import Lease
from pgherd.model.member import MemberStatus, Peer, Pod
from pgherd.model.server import Data, Process, Server
from pgherd.model.settings import Configuration
from pgherd.model.view import View

NOW = 1_000_000.0
"""Any instant of a clock that nobody reads."""
LATER = (0.0, 1.0, 3.0)
"""Seconds after the end of the lease at which the members are looked at: better ones go first."""


class Cluster(msgspec.Struct, frozen=True):
    """What is known of all, by whoever asks."""

    record: Lease
    configuration: Configuration
    initialize: str | None
    pods: tuple[Pod, ...]
    words: Mapping[str, MemberStatus]
    """By member: what it said last; nothing of those that did not answer."""


class Consequence(msgspec.Struct, frozen=True, omit_defaults=True):
    gone: str
    leader: str | None
    """Who leads afterwards; nobody when no member would take the lease."""
    text: str
    within: float = 0.0
    """Seconds until the lease may be taken, at most; a kubelet's word may make it sooner."""
    timeline: int | None = None
    at_risk: int = 0
    """Bytes of WAL that the lease names and the new leader lacks."""
    others: tuple[Loser, ...] = ()


def what_if(cluster: Cluster, gone: str) -> Consequence:
    """The consequence of its silence from now on."""
    record = cluster.record
    if record.leader != gone or record.free:
        return _without_a_replica(record, gone)
    if record.pause:
        text = "maintenance: nobody takes the lease of a paused leader before a person says that it is dead"
        return Consequence(gone, None, text)
    reasons: dict[str, str] = {}
    for later in LATER:
        for member in sorted(cluster.words):
            if member == gone:
                continue
            decision = decide(view(cluster, member, gone, later), NOW + later)
            takes = [each for each in decision.actions if isinstance(each, WriteLease) and each.kind is WriteKind.TAKE]
            if takes:
                return _taken(cluster, gone, member, takes[0])
            reasons[member] = decision.reason.text
    others = tuple(Loser(member, why) for member, why in sorted(reasons.items()))
    return Consequence(gone, None, "nobody would take the lease", record.ttl, others=others)


def _taken(cluster: Cluster, gone: str, member: str, write: WriteLease) -> Consequence:
    record, standby = cluster.record, cluster.configuration.standby_cluster
    timeline = write.record.holder.timeline if write.record.holder else None
    then = f"promotes onto timeline {timeline}" if standby is None else f"follows {standby.shown} as standby leader"
    text = f"{member} takes the lease within {record.ttl:g} s and {then}"
    others = tuple(loser for loser in write.losers if loser.member != gone)
    return Consequence(gone, member, text, record.ttl, timeline, write.at_risk, others)


def _without_a_replica(record: Lease, gone: str) -> Consequence:
    left = [each.member for each in record.candidates if each.member != gone]
    rest = f"then {', '.join(left)} may take its place" if left else "then nobody may take its place without a proof"
    waits = record.sync is not None and any(each.member == gone for each in record.sync.members)
    commits = "; commits wait until it has left the synchronous set" if waits else ""
    leader = None if record.free else record.leader
    return Consequence(gone, leader, f"{leader or 'nobody'} leads on; {rest}{commits}")


def view(cluster: Cluster, member: str, gone: str, later: float) -> View:
    """That member's view, `later` seconds after the lease of the one that is gone has ended."""
    own, record = cluster.words[member], cluster.record
    seen = NOW - record.ttl
    return View(
        member=member,
        uid=own.uid,
        container="",
        address="",
        configuration=cluster.configuration,
        knowledge=Knowledge(record, "1", seen, highest_epoch=record.epoch, last=record),
        server=server(own),
        initialize=cluster.initialize,
        members=tuple(sorted({*cluster.words, *(pod.member for pod in cluster.pods)})),
        peers=tuple(_peer(cluster, pod, gone) for pod in cluster.pods if pod.member != member),
        pods=cluster.pods,
        tags={name: words.tags for name, words in cluster.words.items()},
        cut_off=record.nonce,
    )


def _peer(cluster: Cluster, pod: Pod, gone: str) -> Peer:
    words = None if pod.member == gone else cluster.words.get(pod.member)
    if words is not None:
        # As they are once they have seen that it is silent: no promise binds them, and voters have cut themselves off.
        words = msgspec.structs.replace(words, promised_until=0.0, cut_off=cluster.record.nonce)
    return Peer(pod, words, NOW, NOW, 0.0 if words else NOW)


def server(words: MemberStatus) -> Server:
    """As it described itself; what a task does counts as not running."""
    known = {process.value: process for process in Process}
    return Server(
        data=Data.PRESENT if words.has_data else Data.EMPTY,
        process=known.get(words.state, Process.STOPPED),
        system_identifier=words.system_identifier,
        incarnation=words.incarnation,
        primary=words.role == "primary",
        position=words.position,
        history=words.history,
        replayed=words.replayed,
        following=words.streaming_from,
        streaming=False,
        receiver_timeline=words.receiver_timeline,
    )
