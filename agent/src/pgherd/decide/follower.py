"""Somebody else holds the lease: become, or stay, a replica of it."""

from __future__ import annotations

from pgherd.decide import compare
from pgherd.model.actions import Action, Clone, Decision, Follow, PollPeers, Reason, Rewind, Start, Stop
from pgherd.model.knowledge import takeable_at
from pgherd.model.lease import Lease
from pgherd.model.member import MemberStatus
from pgherd.model.server import Data, Process
from pgherd.model.view import TaskKind, View


def decide(view: View, now: float) -> Decision:
    record = view.knowledge.record
    assert record is not None
    wake = wake_at(view, record, now)
    if compare.stranger(view):
        text = (
            f"system identifier {view.server.system_identifier} is not the cluster's ({view.initialize}); it stays out"
        )
        return Decision((), Reason("system-identifier", text), wake)
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
    ready = (
        status is not None and status.role == "primary" and status.position is not None and record.address is not None
    )
    if leader is None or leader == view.member or not ready or status is None:
        return waiting(view, record, now, wake)
    if view.server.data is Data.EMPTY:
        return clone(view, status, "no data: cloning", wake, replace=False)
    if view.server.position is not None and compare.diverged(view, status):
        return rejoin(view, status, wake)
    return follow(view, status, wake)


def wake_at(view: View, record: Lease, now: float) -> float:
    """The instant at which the lease may be taken, or when its holder's death counts."""
    instants = [takeable_at(view.knowledge)] if record.leader else []
    if view.death_seen is not None:
        instants.append(view.death_seen + view.configuration.early_takeover_delay)
    return min((instant for instant in instants if instant > now), default=now + view.configuration.loop_wait)


def waiting(view: View, record: Lease, now: float, wake: float) -> Decision:
    """The leader is not writable yet, or does not answer; stay as it is, stay readable."""
    text = f"waiting for {record.leader or 'a leader'}"
    if record.leader == view.member:
        text = "the lease names this member, but another container made it"
    actions: tuple[Action, ...] = (PollPeers(),) if record.address is not None else ()
    return Decision(actions, Reason("waiting-for-leader", text), min(wake, now + (0.3 if actions else 1.0)))


def failures(view: View, kind: TaskKind, leader: MemberStatus) -> int:
    """How often a rung failed against this leader on this timeline."""
    timeline = leader.position.timeline if leader.position else 0
    return sum(f.kind is kind and f.target == leader.member and f.timeline == timeline for f in view.failures)


def clone(view: View, leader: MemberStatus, text: str, wake: float, replace: bool) -> Decision:
    tries = failures(view, TaskKind.CLONE, leader)
    if tries:
        last = [f for f in view.failures if f.kind is TaskKind.CLONE][-1]
        again = last.at + min(60.0, 2.0**tries)
        if wake < again:
            return Decision((), Reason("clone-failed", f"trying again: {last.error}"), wake)
    return Decision((Clone(leader.member, replace),), Reason("clone", f"{text} from {leader.member}"), wake)


def rejoin(view: View, leader: MemberStatus, wake: float) -> Decision:
    """Diverged: never started before it was rewound or cloned (S5); each rung once per leader and timeline."""
    if view.server.process is not Process.STOPPED:
        return Decision(
            (Stop(view.configuration.primary_stop_timeout),), Reason("diverged", "stopping to rejoin"), wake
        )
    text = f"{view.server.position} is not in the history of {leader.member}"
    if view.configuration.postgresql.use_pg_rewind and not failures(view, TaskKind.REWIND, leader):
        return Decision((Rewind(leader.member),), Reason("rewind", text), wake)
    if not view.configuration.allow_data_loss_reclone:
        return Decision((), Reason("rewind-failed", f"{text}; cloning over it is not allowed"), wake)
    return clone(view, leader, f"{text}; rewinding did not help, cloning", wake, replace=True)


def follow(view: View, leader: MemberStatus, wake: float) -> Decision:
    server = view.server
    if server.process is Process.STOPPED:
        return Decision(
            (Start(writable=False, source=leader.member),),
            Reason("start", f"starting as a standby of {leader.member}"),
            wake,
        )
    if server.process is not Process.RUNNING:
        return Decision((), Reason("starting", f"PostgreSQL is {server.process.value}"), wake)
    if server.following != leader.member:
        return Decision((Follow(leader.member),), Reason("follow", f"following {leader.member}"), wake)
    if not server.streaming:
        return Decision((), Reason("not-streaming", f"follows {leader.member}, but does not stream yet"), wake)
    return Decision((), Reason("replica", f"streams from {leader.member}"), wake)
