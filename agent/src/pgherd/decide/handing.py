"""Handing the lease over: PostgreSQL stops, the target receives the rest, then it is named (ha-protocol §5).

What a switchover and a leaving holder share. Nothing is given up before PostgreSQL is dead (S1), and nobody is named
who lacks the end of its WAL: it could never take.
"""

from __future__ import annotations

from pgherd.decide import compare, holder, succession
from pgherd.model.actions import Action, Decision, Kill, PollPeers, Reason, Stop
from pgherd.model.lease import Lease
from pgherd.model.server import Process
from pgherd.model.view import TaskKind, View

CATCH_UP = 5.0
"""Seconds that a candidate has to receive the last WAL after the shutdown."""


def stop(view: View, record: Lease, target: str | None, reason: Reason, timeout: float, now: float) -> Decision:
    """PostgreSQL does not stand still yet: stopped fast, and killed once only what hangs is left of it."""
    keep = holder.renewal(view, record, now, view.task is None or holder.within_bound(view, now))
    actions: tuple[Action, ...] = ()
    if view.task is None or view.task.kind not in (TaskKind.STOP, TaskKind.KILL):
        serves = view.server.primary and view.server.process is Process.RUNNING
        actions = (Stop(timeout, checkpoint=serves),)
    elif view.task.kind is TaskKind.STOP and only_hangs(view, target):
        actions = (Kill(),)
    urgent = view.server.process is Process.STOPPING
    return Decision((*actions, *keep, PollPeers(urgent)), reason, now + 0.1)


def only_hangs(view: View, target: str | None) -> bool:
    """An archiver that hangs, or a slow standby's sender, must not keep the clients waiting for the target."""
    end = view.server.shut_down
    return end is not None and target is not None and _received(view, target) >= end


def _received(view: View, target: str) -> int:
    status = compare.status_of(view, target)
    return status.position.lsn if status is not None and status.position is not None else 0


def give(view: View, record: Lease, target: str | None, now: float) -> Decision | None:
    """PostgreSQL is dead: name the target once it has everything; None when nobody is there to be named in time."""
    own = view.server.position
    if target is None:
        return None
    # While the end of our WAL is not known nobody can say that it has everything.
    if own is None or _received(view, target) < own.lsn:
        waited = now - (view.stopped_since if view.stopped_since is not None else now)
        if waited >= CATCH_UP:
            return None
        keep = holder.renewal(view, record, now, proved=True)
        text = f"waiting until {target} has received everything"
        return Decision((PollPeers(urgent=True), *keep), Reason("handing-over", text), now + 0.05)
    status = compare.status_of(view, target)
    if status is None or not succession.entitled(view, record, status):
        return None  # after a shutdown that was not clean only the synchronous set may be elected (S3)
    reason = Reason("handing-over", f"giving the lease to {target}")
    if view.writing:
        return Decision((), reason, now + 0.1)
    return Decision((succession.surrender(view, record, target),), reason, now + 0.1)
