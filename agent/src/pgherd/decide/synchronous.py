"""Synchronous replication: the next one step of lease or setting, and who may be elected (ha-protocol §6, S3).

The invariant, true between any two steps and at every crash: each member of the lease's set (in every outcome of a
write that is not answered yet) is named by every setting that a process of the primary may still go by, and has
flushed whatever was acknowledged before it was named. All whom the setting names must acknowledge a commit, so any
member of the set has every acknowledged commit, and the set that can acknowledge meets each set that can elect.

    leave   lease without it, confirmed     then the setting without it
    enter   setting with it, proved         then it has the flush position of that proof   then lease with it
    on      lease with an empty set (only the primary may lead)   then enter
    off     lease without a set             then an empty setting
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from pgherd.decide import compare
from pgherd.model.lease import Lease
from pgherd.model.member import MemberStatus, Peer
from pgherd.model.position import Position
from pgherd.model.server import Process
from pgherd.model.synchronous import NOBODY, Sender, Standby, Synchronous
from pgherd.model.view import View

PATIENCE = 1.0
"""Seconds without a WAL sender after which a member leaves the set: commits wait for it until then."""
LONGEST_LEAVE = 10.0
"""Seconds that a replica which was told to stop waits at most until it is out of the set."""


# Who may be elected.


def standby(member: str, incarnation: str | None) -> Standby:
    return Standby(member, incarnation or "")


def barred(record: Lease, who: Standby, position: Position | None) -> str | None:
    """Why the recorded set forbids this member to take the lease; None when it does not (S3)."""
    if record.sync is None or record.sync.has(who):
        return None
    given = record.handover
    named = given and (given.to, given.incarnation, given.epoch) == (who.member, who.incarnation, record.epoch)
    if given and named and given.lsn > 0 and position is not None and position.lsn >= given.lsn:
        return None  # the primary was shut down cleanly there: nothing was acknowledged after it
    names = ", ".join(each.member for each in (record.sync.primary, *record.sync.members))
    return f"only {names} can have every acknowledged commit (synchronous_mode, S3)"


def complete(record: Lease, who: Standby) -> bool:
    """Whether a mode is on and this member has every acknowledged commit: its lag is of no account."""
    return record.sync is not None and record.sync.has(who)


def inherited(view: View, record: Lease) -> Synchronous | None:
    """The set in the write that takes the lease: the taker's setting enforces it before the taker promotes."""
    if record.sync is None or view.server.incarnation is None:
        return record.sync
    me = standby(view.member, view.server.incarnation)
    return Synchronous("on", me, tuple(each for each in record.sync.members if each.member != view.member))


def early_takeover_delay(view: View, record: Lease) -> float:
    """Nobody waits for a dead primary's return where nothing acknowledged is lost without it."""
    synchronous = record.sync is not None and standby(view.member, view.server.incarnation) in record.sync.members
    return 0.0 if synchronous else view.configuration.early_takeover_delay


# Before the promotion.


def needed(view: View, record: Lease) -> tuple[Standby, ...]:
    """Without whom no commit may be acknowledged from the promotion on."""
    members = record.sync.members if record.sync else ()
    waits = record.sync is not None and view.configuration.synchronous and view.configuration.synchronous_mode_strict
    return members or ((NOBODY,) if waits else ())


def enforced(view: View, record: Lease) -> bool:
    """Whether the own setting was proved to hold the inherited set: only then may this member promote."""
    need = needed(view, record)
    return not need or (view.enforced is not None and view.enforced.enforces(need))


def idle(view: View, record: Lease) -> tuple[Standby, ...]:
    """A standby's setting: never empty where a mode is on, so that a promotion finds it in force everywhere."""
    return (NOBODY,) if view.configuration.synchronous or record.sync is not None else ()


def leaving(view: View, record: Lease, now: float) -> bool:
    """Whether a replica that was told to stop is still in the set: stopped now, it would stop commits, too."""
    if record.sync is None or standby(view.member, view.server.incarnation) not in record.sync.members:
        return False
    bound = min(2 * view.configuration.loop_wait, LONGEST_LEAVE)
    return view.server.process is Process.RUNNING and view.server.streaming and now < view.told_to_stop + bound


# On the primary.


class Plan(msgspec.Struct, frozen=True):
    sync: Synchronous | None
    """What the lease should say now; unlike the record: a write is due."""
    require: tuple[Standby, ...] | None
    """What the setting should be now; None: leave it as it is until the lease is known to say so."""
    expects: bool = False
    """A member is about to enter: its own words are wanted soon."""


def plan(view: View, record: Lease, now: float) -> Plan:
    """The next step; from any state, so that an interrupted change goes on wherever it was left."""
    # While a write may still succeed, its set may be the one that elects: the setting holds both (S3).
    pending = view.writing or bool(view.knowledge.unanswered)
    if not view.configuration.synchronous:
        return Plan(None, None if pending or record.sync is not None else ())
    recorded = record.sync.members if record.sync else ()
    wanted = target(view, record, now)
    kept = [each for each in recorded if each in wanted]
    ready = [each for each in wanted if each not in recorded and has_entered(view, each)]
    sync = Synchronous("on", standby(view.member, view.server.incarnation), tuple(sorted({*kept, *ready})))
    expects = any(each not in sync.members for each in wanted)
    if pending or len(kept) < len(recorded):
        return Plan(sync, None, expects)
    return Plan(sync, wanted or ((NOBODY,) if view.configuration.synchronous_mode_strict else ()), expects)


def has_entered(view: View, who: Standby) -> bool:
    """Every commit acknowledged from now on needs it, and it has flushed what was acknowledged before that."""
    proof, status = view.enforced, compare.status_of(view, who.member)
    if proof is None or who not in proof.standbys or status is None or status.position is None:
        return False
    return streams(view, status) and status.incarnation == who.incarnation and status.position.lsn >= proof.flushed


def streams(view: View, status: MemberStatus) -> bool:
    own = view.server.position
    return own is not None and status.streaming_from == view.member and status.receiver_timeline == own.timeline


def target(view: View, record: Lease, now: float) -> tuple[Standby, ...]:
    """Whom the setting should name: the best ones, and who is to be replaced until its successor has entered."""
    recorded = record.sync.members if record.sync else ()
    ranked = fit(view, record, now)
    if not ranked and view.configuration.synchronous_mode_strict:
        return recorded  # commits wait for them
    chosen = ranked[: view.configuration.synchronous_node_count]
    if any(each not in recorded for each in chosen):
        chosen += [each for each in recorded if each in ranked and each not in chosen]
    return tuple(sorted(chosen))


def fit(view: View, record: Lease, now: float) -> list[Standby]:
    """Who may be synchronous, best first: `sync_priority`, in the set already, position, name."""
    recorded = {each.member: each for each in (record.sync.members if record.sync else ())}
    senders = {sender.member: sender for sender in view.server.senders}
    found: list[tuple[tuple[int, bool, int, str], Standby]] = []
    for peer in view.peers:
        status, sender = compare.status_of(view, peer.pod.member), senders.get(peer.pod.member)
        priority = sync_priority(status)
        if priority == 0 or peer.pod.terminating or (status is not None and status.terminating):
            continue
        if sender is not None and lagging(view, sender):
            continue
        member = recorded.get(peer.pod.member)
        if member is not None and status is not None and status.incarnation != member.incarnation:
            member = None
        stays = member is not None and (sender is not None or not missed(view, peer, now))
        candidate = member if stays else newcomer(view, status, sender)
        if candidate is not None:
            order = (-priority, not stays, -(sender.flushed if sender else 0), candidate.member)
            found.append((order, candidate))
    return [candidate for _, candidate in sorted(found)]


def missed(view: View, peer: Peer, now: float) -> bool:
    since = view.unsent_since.get(peer.pod.member)
    return since is not None and now - since >= PATIENCE


def newcomer(view: View, status: MemberStatus | None, sender: Sender | None) -> Standby | None:
    if status is None or sender is None or not status.incarnation or not streams(view, status):
        return None
    return Standby(status.member, status.incarnation)


def sync_priority(status: MemberStatus | None) -> int:
    """Patroni's tags: `nosync` is priority 0; without an answer the usual 1."""
    tags = status.tags if status is not None else {}
    if tags.get("nosync", "").lower() in ("true", "on", "yes", "1"):
        return 0
    text = tags.get("sync_priority", "")
    return int(text) if text.isdecimal() else 1


def lagging(view: View, sender: Sender) -> bool:
    """Further behind the best replica (the primary, where there is no other) than `maximum_lag_on_syncnode`."""
    most = view.configuration.maximum_lag_on_syncnode
    others = [other.flushed for other in view.server.senders if other.member != sender.member]
    own = view.server.position.lsn if view.server.position else 0
    return most >= 0 and max(others, default=own) - sender.flushed > most


def waited_for(view: View) -> str:
    """For whom every commit waits although nothing is sent there; "" while none does."""
    standbys = view.enforced.standbys if view.enforced else ()
    if NOBODY in standbys:
        return "any standby to be synchronous (synchronous_mode_strict)"
    served = {sender.member for sender in view.server.senders}
    return ", ".join(each.member for each in standbys if each.member not in served)


def patience_ends(view: View, record: Lease, now: float) -> Iterator[float]:
    """Boot times at which a member of the set will have been missing for too long."""
    for each in record.sync.members if record.sync else ():
        since = view.unsent_since.get(each.member)
        if since is not None and since + PATIENCE > now:
            yield since + PATIENCE
