"""SIGTERM: a holder hands over to the best candidate within the grace, a replica simply leaves."""

from __future__ import annotations

from pgherd.decide import handing, succession, synchronous
from pgherd.model.actions import Decision, Exit, Kill, Reason, Stop
from pgherd.model.knowledge import holds
from pgherd.model.lease import Lease
from pgherd.model.server import Process
from pgherd.model.view import TaskKind, View

STOP = 25.0
"""Seconds for the shutdown at most, after up to 20 for its checkpoint: the fence ends everything after 50 (its
PGHERD_GRACE), handed over or not."""


def decide(view: View, now: float) -> Decision:
    record = view.knowledge.record
    mine = record is not None and holds(view.knowledge, now)
    if view.server.process is Process.CRASHED:
        return Decision((Kill(),), Reason("leaving", "told to stop; PostgreSQL died"))
    if record is not None and not mine and synchronous.leaving(view, record, now):
        text = f"told to stop; waiting until {record.leader} does not need this member for a commit any more"
        return Decision((), Reason("leaving-set", text), now + 0.1)
    if view.server.process is not Process.STOPPED or view.task is not None:
        return stopping(view, record if mine else None, now)
    if not mine or record is None:
        return Decision((Exit(),), Reason("left", "told to stop; PostgreSQL is stopped"))
    # In a pause nobody is promoted: the lease is free, and waits for its end.
    decision = None if record.pause else handing.give(view, record, succession.best(view, record), now)
    if decision is not None:
        return decision
    why = "maintenance" if record.pause else "nobody has received everything"
    reason = Reason("handing-over", f"{why}; giving the lease to whoever comes")
    return Decision(() if view.writing else (succession.release(record),), reason, now + 0.1)


def stopping(view: View, record: Lease | None, now: float) -> Decision:
    reason = Reason("leaving", "told to stop; stopping PostgreSQL first")
    timeout = min(view.configuration.primary_stop_timeout, STOP)
    if record is not None:
        return handing.stop(view, record, succession.best(view, record), reason, timeout, now)
    running = view.task is not None and view.task.kind in (TaskKind.STOP, TaskKind.KILL)
    return Decision(() if running else (Stop(timeout),), reason, now + 0.2)
