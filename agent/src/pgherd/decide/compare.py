"""What positions, histories and the peers' own words say. Invariants S2, S5, S6 rest on this."""

from __future__ import annotations

from collections.abc import Iterator

from pgherd.model.knowledge import extended
from pgherd.model.lease import Candidate, Lease
from pgherd.model.member import MemberStatus, Peer
from pgherd.model.position import History, Position, contains, fork, parted
from pgherd.model.tags import never_leads
from pgherd.model.view import View


def peer_of(view: View, member: str | None) -> Peer | None:
    return next((peer for peer in view.peers if peer.pod.member == member), None)


def status_of(view: View, member: str | None) -> MemberStatus | None:
    """The last answer of a member, if it came from the pod that the API shows now."""
    peer = peer_of(view, member)
    return peer.status if peer and peer.status and peer.status.uid == peer.pod.uid else None


def answers(view: View, since: float = 0.0) -> Iterator[MemberStatus]:
    """The members' own words, only those that were asked for since `since`."""
    for peer in view.peers:
        status = status_of(view, peer.pod.member)
        if status is not None and peer.asked >= since:
            yield status


FIRST_ROUND = 1.5
"""Seconds within which everybody who is asked has answered, or used up the time for it (rest.client.TIMEOUT)."""


def heard(view: View, since: float, but: str | None = None) -> float | None:
    """Since when everybody has said what they say, asked since `since`, silence included; None while one is missing.

    Who says the same again is not news: a member that asks often would put its own turn off for ever. `but` is not
    waited for: whose lease has ended by time or proof need not say so.
    """
    asked = [peer for peer in view.peers if peer.pod.member != but]
    if any(peer.asked < since for peer in asked):
        return None
    first = min(max((peer.ended for peer in asked), default=since), since + FIRST_ROUND)
    return max([since, first, *(peer.settled for peer in asked)])


def identified(view: View) -> str | None:
    """The cluster's system identifier, once it has one."""
    return view.initialize if view.initialize and not view.initialize.startswith("bootstrapping:") else None


def stranger(view: View) -> bool:
    """This member's data belongs to another cluster (S6)."""
    return _of_another(view, identified(view))


def foreign(view: View, leader: MemberStatus) -> bool:
    """The leader's own words say that this member's data belongs to another cluster, whoever lost `initialize` (S6)."""
    return _of_another(view, leader.system_identifier)


def _of_another(view: View, theirs: str | None) -> bool:
    own = view.server.system_identifier
    return own is not None and theirs is not None and own != theirs


def numbers_seen(view: View, record: Lease) -> Iterator[int]:
    """Every timeline number that anybody speaks of."""
    yield 0
    if record.holder:
        yield max(record.holder.timeline, record.holder.highest)
    for position, history in (
        (view.server.position, view.server.history),
        *((s.position, s.history) for s in answers(view)),
    ):
        if position:
            yield position.timeline
        yield from (entry.timeline for entry in history)
    if view.remote is not None and view.remote.line is not None:
        yield view.remote.line.timeline


def next_timeline(view: View, record: Lease) -> int:
    return max(numbers_seen(view, record)) + 1


def diverged(view: View, leader: MemberStatus) -> bool:
    """Whether own WAL is not in the leader's past: compared entry by entry (S5)."""
    own, theirs = view.server.position, leader.position
    assert own is not None and theirs is not None
    if not view.server.end_known:
        return True  # what cannot be compared is not followed
    if leads_standbys(view):
        # It follows a remote primary and may be behind: only who cannot meet again has diverged.
        return parted(own, view.server.history, theirs, leader.history)
    if not contains(leader.history, theirs.timeline, own):
        return True
    # A number may be another line's, where a standby cluster followed one that was not its own.
    known = bool(view.server.history) or own.timeline == 1
    return known and fork(own, view.server.history, theirs.timeline, leader.history) is not None


def leads_standbys(view: View) -> bool:
    """The lease is that of a standby leader."""
    record = view.knowledge.record
    return record is not None and record.holder is not None and record.holder.standby


def ahead(view: View, leader: MemberStatus) -> bool:
    """Own WAL that a standby leader does not have yet, and will get: nothing to be rejoined, or replaced."""
    own: Position | None = view.server.position
    return leads_standbys(view) and own is not None and leader.position is not None and own > leader.position


def outdated(record: Lease, position: Position, history: History) -> str | None:
    """S2: also the last holder's own volume may have been put back to an earlier state."""
    writable = record.holder.writable if record.holder else 0
    if position.timeline < writable or (
        position.timeline != writable and writable not in {0, *(e.timeline for e in history)}
    ):
        return f"timeline {position.timeline} does not contain the latest timeline {writable} (S2)"
    return None


def candidates(view: View, record: Lease) -> tuple[Candidate, ...]:
    """Who may take the lease after this holder: streaming from it on its timeline, within lag, staying (S8)."""
    own = view.server.position
    if own is None:
        return ()
    if extended(view.knowledge):
        return record.candidates  # frozen: exactly these have promised
    # Those of a holder that was not published on this line may have more than it, or something else.
    recorded = record.candidates if record.address is not None else ()
    found = []
    for peer in view.peers:
        status = status_of(view, peer.pod.member)
        if status is None:
            patience = 2 * view.configuration.loop_wait
            kept = next((c for c in recorded if c.member == peer.pod.member), None)
            if kept and peer.first_missing and peer.asked - peer.first_missing < patience and not peer.pod.terminating:
                found.append(kept)
            continue
        streams = status.streaming_from == view.member and status.receiver_timeline == own.timeline
        near = (
            status.position is not None and own.lsn - status.position.lsn <= view.configuration.maximum_lag_on_failover
        )
        leaves = status.terminating or peer.pod.terminating or never_leads(status.tags)
        if streams and near and status.incarnation and not leaves:
            found.append(Candidate(status.member, status.incarnation))
    return tuple(sorted(found))


def misplaced(view: View, record: Lease) -> str | None:
    """Why a configuration that was not read from its object cannot be the lease's; None when nothing says so.

    It decides between a primary and another cluster's standby, and either one in the place of the other forks (S2).
    """
    last, wanted = record.holder, view.configuration.standby_cluster is not None
    if view.configuration_read or last is None or last.standby == wanted or not (last.timeline or last.standby):
        return None
    kept, led = ("a standby", "a primary") if wanted else ("a primary", "a standby")
    return (
        f"the configuration object is missing or refused since this agent started, what is in force without it asks "
        f"for {kept} cluster, and the last leader was {led} cluster's: none is made the other before the object is "
        f"there (docs/operations.md)"
    )
