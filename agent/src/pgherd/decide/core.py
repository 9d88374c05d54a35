"""The entry: which situation is this member in?"""

from __future__ import annotations

from pgherd.decide import accident, election, follower, holder, leaving
from pgherd.model.actions import Action, Decision, Kill, Reason
from pgherd.model.knowledge import deadline, holds
from pgherd.model.server import Process
from pgherd.model.view import TaskKind, View


def decide(view: View, now: float) -> Decision:
    """What this member does now, and why. Pure."""
    standing = accident.standing(view, now)
    if standing is not None:
        return accident.healed(standing, ordinary(standing, now))
    return ordinary(view, now)


def ordinary(view: View, now: float) -> Decision:
    if view.terminating:
        return leaving.decide(view, now)
    if view.knowledge.record is not None and holds(view.knowledge, now):
        if now >= deadline(view.knowledge):
            return unsafe(view, "lease-ending", "the lease was not renewed in time")
        return holder.decide(view, now)
    trouble = accident.happened(view)
    if trouble:
        return lost(view, trouble, now)
    if view.server.primary or (view.task and view.task.kind is TaskKind.PROMOTE):
        return unsafe(
            view, "primary-without-lease", "PostgreSQL accepts writes and this member does not hold the lease"
        )
    if view.server.process is Process.CRASHED:
        return unsafe(view, "crashed", "PostgreSQL died; what is left of it is killed before anything else")
    if view.task and view.task.kind is TaskKind.INITIALISE:
        return Decision((Kill(),), Reason("initialise-stopped", "the lease was lost while initialising (S7)"))
    return election.decide(view, now) or follower.decide(view, now)


def unsafe(view: View, code: str, text: str) -> Decision:
    """S1: kill first, ask later."""
    dead = view.server.process is Process.STOPPED
    actions: tuple[Action, ...] = () if dead or (view.task and view.task.kind is TaskKind.KILL) else (Kill(),)
    return Decision(actions, Reason(code, text))


def lost(view: View, trouble: str, now: float) -> Decision:
    """Beside a lost lock object no PostgreSQL of a member that does not hold the lease becomes or stays writable."""
    task = view.task.kind if view.task else None
    writable = view.server.primary or task in (TaskKind.PROMOTE, TaskKind.INITIALISE)
    if writable or view.server.process is Process.CRASHED:
        return unsafe(view, "lock-lost", trouble)
    return accident.decide(view, trouble, now) or election.decide(view, now) or follower.decide(view, now)
