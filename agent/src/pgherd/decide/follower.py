"""Somebody else holds the lease: become, or stay, a replica of it."""

from __future__ import annotations

from pgherd.decide import compare, slots, synchronous, upstream
from pgherd.model.actions import Action, Clone, Decision, Follow, PollPeers, Reason, Require, Rewind, Start, Stop
from pgherd.model.knowledge import takeable_at
from pgherd.model.lease import Lease
from pgherd.model.member import MemberStatus
from pgherd.model.server import Data, Process
from pgherd.model.view import Failure, TaskKind, View, again

STARTS = 3
"""Failed starts as a standby of one leader before the data are replaced."""
STALLED = 120.0
"""Seconds without a byte of WAL from a leader that answers: it recycled what this standby lacks."""


def decide(view: View, now: float) -> Decision:
    record = view.knowledge.record
    assert record is not None
    wake = wake_at(view, record, now)
    if compare.stranger(view):
        return stays_out(view, f"the cluster's ({view.initialize})", wake)
    if view.server.data is Data.BROKEN:
        return Decision(
            (), Reason("data-broken", "the data directory cannot be read; it is never initialised over (S7)"), wake
        )
    if view.task is not None:
        return Decision(
            (), Reason(view.task.kind.value, f"{view.task.kind.value} {view.task.target or ''}".strip()), wake
        )
    leader = record.leader
    status = compare.status_of(view, leader)
    ready = status is not None and published(record, status)
    if leader is None or leader == view.member or not ready or status is None:
        return waiting(view, record, now, wake)
    if compare.foreign(view, status):
        return stays_out(view, f"that of {leader} ({status.system_identifier})", wake)
    if view.server.data is Data.EMPTY:
        return clone(view, status, "no data: cloning", now, wake, replace=False)
    if view.server.data is Data.HALF_REWOUND:
        return replace(view, status, "pg_rewind did not end", now, wake)
    if view.server.position is None:
        return Decision((), Reason("measuring", "finding the end of the WAL on disk, to compare it"), now + 0.2)
    if compare.diverged(view, status):
        return rejoin(view, status, now, wake)
    return follow(view, status, now, wake)


def stays_out(view: View, whose: str, wake: float) -> Decision:
    text = f"system identifier {view.server.system_identifier} is not {whose}; it stays out (S6)"
    return Decision((), Reason("system-identifier", text), wake)


def published(record: Lease, status: MemberStatus) -> bool:
    """Whether these words are of the primary that the lease publishes: older ones tell of another timeline, and our
    own position, which is newer, would look diverged beside them."""
    if record.address is None or record.holder is None or status.position is None:
        return False
    if record.holder.standby:
        return status.role == "standby_leader"
    if status.role != "primary":
        return False
    return status.position.timeline == record.holder.writable


def wake_at(view: View, record: Lease, now: float) -> float:
    """The instant at which the lease may be taken, or when its holder's death counts."""
    instants = [takeable_at(view.knowledge)] if record.leader else []
    if view.death_seen is not None:
        instants.append(view.death_seen + synchronous.early_takeover_delay(view, record))
    return min((instant for instant in instants if instant > now), default=now + view.configuration.loop_wait)


def waiting(view: View, record: Lease, now: float, wake: float) -> Decision:
    """The leader is not writable yet, or does not answer; stay as it is, stay readable."""
    text = f"waiting for {record.leader or 'a leader'}"
    if record.leader == view.member:
        text = "the lease names this member, but another container made it"
    actions: tuple[Action, ...] = (PollPeers(),) if record.address is not None else ()
    return Decision(actions, Reason("waiting-for-leader", text), min(wake, now + (0.3 if actions else 1.0)))


def failures(view: View, kind: TaskKind, leader: MemberStatus) -> list[Failure]:
    """Each time that a rung failed against this leader on this timeline."""
    timeline = leader.position.timeline if leader.position else 0
    return [f for f in view.failures if (f.kind, f.target, f.timeline) == (kind, leader.member, timeline)]


def clone(view: View, leader: MemberStatus, text: str, now: float, wake: float, replace: bool) -> Decision:
    failed = failures(view, TaskKind.CLONE, leader)
    if failed and now < again(failed):
        return Decision((), Reason("clone-failed", f"trying again: {failed[-1].error}"), min(wake, again(failed)))
    source = upstream.copy_source(view, leader)
    return Decision((Clone(source, replace),), Reason("clone", f"{text} from {source}"), wake)


def rejoin(view: View, leader: MemberStatus, now: float, wake: float) -> Decision:
    """Diverged: never started before it was rewound or cloned (S5); each rung once per leader and timeline."""
    if view.server.process is not Process.STOPPED:
        return Decision(
            (Stop(view.configuration.primary_stop_timeout),), Reason("diverged", "stopping to rejoin"), wake
        )
    text = f"{view.server.position} is not in the history of {leader.member}"
    if view.configuration.postgresql.use_pg_rewind and not failures(view, TaskKind.REWIND, leader):
        return Decision((Rewind(leader.member),), Reason("rewind", text), wake)
    return replace(view, leader, f"{text}; rewinding did not help", now, wake)


def replace(view: View, leader: MemberStatus, why: str, now: float, wake: float) -> Decision:
    """The last rung: another copy in place of the data, which the configuration must allow (S5)."""
    if view.server.process is not Process.STOPPED:
        timeout = view.configuration.primary_stop_timeout
        return Decision((Stop(timeout),), Reason("stopping-to-clone", f"{why}: stopping to clone"), wake)
    if not view.configuration.allow_data_loss_reclone:
        return Decision((), Reason("clone-not-allowed", not_allowed(why)), wake)
    return clone(view, leader, f"{why}: cloning", now, wake, replace=True)


def not_allowed(why: str) -> str:
    return f"{why}; cloning over it is not allowed (allow_data_loss_reclone)"


def cramped(view: View) -> Reason:
    text = f"replay stands still: {', '.join(view.server.cramped)} (running < needed by the WAL); restarting"
    return Reason("parameters-restart", text)


def follow(view: View, leader: MemberStatus, now: float, wake: float) -> Decision:
    server, failed = view.server, failures(view, TaskKind.START, leader)
    record = view.knowledge.record
    if record is not None and view.barred_nonce and view.barred_nonce == record.nonce:
        # Reported as final to whoever counts votes: only a later lease lets WAL in again.
        return Decision((), Reason("cut-off", "its position was a vote; it follows again after the next write"), wake)
    ahead = compare.ahead(view, leader)
    still = now - view.stalled_since if view.stalled_since is not None and not ahead else 0.0
    gone = f"no WAL came from {leader.member} for {still:.0f} s, it may be gone there" if still > STALLED else ""
    if gone and view.configuration.allow_data_loss_reclone:
        return replace(view, leader, gone, now, wake)
    if server.process is Process.STOPPED and len(failed) >= STARTS:
        return replace(view, leader, f"PostgreSQL does not start: {failed[-1].error}", now, wake)
    if server.process is Process.STOPPED and failed and now < again(failed):
        return Decision((), Reason("start-failed", f"trying again: {failed[-1].error}"), min(wake, again(failed)))
    source = upstream.source(view, leader)
    if server.process is Process.STOPPED:
        return Decision(
            (Start(writable=False, source=source),),
            Reason("start", f"starting as a standby of {source}"),
            wake,
        )
    if server.process is not Process.RUNNING:
        return Decision((), Reason("starting", f"PostgreSQL is {server.process.value}"), wake)
    if server.cramped and not (view.knowledge.record and view.knowledge.record.pause):
        return Decision((Stop(view.configuration.primary_stop_timeout),), cramped(view), wake)
    if server.following != source:
        return Decision((Follow(source),), Reason("follow", f"following {source}"), wake)
    if not server.streaming:
        ask: tuple[Action, ...] = (PollPeers(),) if source != leader.member else ()
        if gone:  # as it is it may serve reads, and get what is missing from elsewhere
            return Decision(ask, Reason("wal-gone", not_allowed(gone)), min(wake, now + 1.0) if ask else wake)
        text = f"follows {source}, but does not stream yet"
        if server.replay_waits:
            text = f"{text}: it replays what it has first, and waits ({server.replay_waits})"
        if ahead:
            text = f"{text}: it has WAL that {source} has not received from the remote primary so far"
        return Decision(ask, Reason("not-streaming", text), min(wake, now + 1.0) if ask else wake)
    restart = slots.restart(view, now)
    if restart is not None:
        return restart
    keep: tuple[Action, ...] = (Require(synchronous.idle(view, record)),) if record is not None else ()
    return Decision(keep, Reason("replica", f"streams from {source}"), wake)
