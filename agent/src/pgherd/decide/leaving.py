"""SIGTERM: a holder hands over to the best candidate within the grace, a replica simply leaves."""

from __future__ import annotations

from pgherd.decide import compare, holder, synchronous
from pgherd.model.actions import Action, Decision, Exit, Kill, PollPeers, Reason, Stop
from pgherd.model.knowledge import holds
from pgherd.model.server import Process
from pgherd.model.view import TaskKind, View

STOP = 40.0
"""Seconds for the shutdown at most: the fence ends everything after 50 (its PGHERD_GRACE), handed over or not."""
CATCH_UP = 5.0
"""Seconds that a candidate has to receive the last WAL after the shutdown."""


def decide(view: View, now: float) -> Decision:
    record = view.knowledge.record
    mine = record is not None and holds(view.knowledge, now)
    if view.server.process is Process.CRASHED:
        return Decision((Kill(),), Reason("leaving", "told to stop; PostgreSQL died"))
    if record is not None and not mine and synchronous.leaving(view, record, now):
        text = f"told to stop; waiting until {record.leader} does not need this member for a commit any more"
        return Decision((), Reason("leaving-set", text), now + 0.1)
    if view.server.process is not Process.STOPPED or view.task is not None:
        return stopping(view, now, mine)
    if not mine or record is None:
        return Decision((Exit(),), Reason("left", "told to stop; PostgreSQL is stopped"))
    target = holder.successor(view, record)
    status = compare.status_of(view, target)
    own = view.server.position
    # While the end of our WAL is not known nobody can say that it has everything.
    behind = status is not None and (own is None or status.position is None or status.position.lsn < own.lsn)
    waited = now - (view.stopped_since if view.stopped_since is not None else now)
    if target and behind and waited < CATCH_UP:
        return Decision(
            (PollPeers(),), Reason("handing-over", f"waiting until {target} has received everything"), now + 0.1
        )
    if view.writing:
        return Decision((), Reason("handing-over", "giving the lease up"), now + 0.1)
    if behind:
        # Named, it could never take: it lacks the end of our WAL, and only we have that.
        text = f"{target} has not received everything; giving the lease to whoever comes"
        return Decision((holder.release(record),), Reason("handing-over", text), now + 0.1)
    return Decision(
        (holder.surrender(view, record),),
        Reason("handing-over", f"giving the lease to {target or 'whoever comes'}"),
        now + 0.1,
    )


def stopping(view: View, now: float, mine: bool) -> Decision:
    record = view.knowledge.record
    keep: tuple[Action, ...] = ()
    if mine and record is not None:
        keep = holder.renewal(view, record, now, proved=True)
    running = view.task is not None and view.task.kind in (TaskKind.STOP, TaskKind.KILL)
    stop = () if running else (Stop(min(view.configuration.primary_stop_timeout, STOP)),)
    return Decision(
        (*stop, *keep, PollPeers()), Reason("leaving", "told to stop; stopping PostgreSQL first"), now + 0.2
    )
