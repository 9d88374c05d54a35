"""The entry: which situation is this member in?"""

from __future__ import annotations

import msgspec

from pgherd.decide import (
    accident,
    asked,
    election,
    failsafe,
    follower,
    holder,
    leaving,
    maintenance,
    standby,
    switchover,
)
from pgherd.model.actions import Action, Decision, Kill, Reason, Stop
from pgherd.model.knowledge import deadline, holds
from pgherd.model.server import Process
from pgherd.model.standby import REMOTE
from pgherd.model.view import TaskKind, View


def decide(view: View, now: float) -> Decision:
    """What this member does now, and why. Pure."""
    standing = accident.standing(view, now)
    if standing is not None:
        return accident.healed(standing, ordinary(standing, now), now)
    return ordinary(view, now)


def ordinary(view: View, now: float) -> Decision:
    if view.terminating:
        return leaving.decide(view, now)
    if view.knowledge.record is not None and holds(view.knowledge, now):
        if now >= deadline(view.knowledge):
            return unsafe(view, "lease-ending", "the lease was not renewed in time")
        if maintenance.recorded(view):
            decision = maintenance.hold(view, view.knowledge.record, now)
            return asked.also(view, also(decision, switchover.in_pause(view)), now)
        return failsafe.extend(view, now, asked.also(view, held(view, now), now))
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
    if view.task and view.task.kind is TaskKind.CLONE and view.task.target == REMOTE:
        text = "the lease was lost while the remote primary was copied"
        return Decision((Kill(),), Reason("initialise-stopped", text))
    others = election.decide(view, now) or asked.also(view, follower.decide(view, now), now)
    return maintenance.restrain(view, also(others, abandoned_stop(view)))


def held(view: View, now: float) -> Decision:
    """This member holds the lease; what people asked for comes before its everyday."""
    record = view.knowledge.record
    assert record is not None
    decision = switchover.decide(view, record, now) or standby.decide(view, now)
    if decision.reason.code not in holder.LEADS:
        return decision
    return also(decision, switchover.answers(view, record, now))


def also(decision: Decision, actions: tuple[Action, ...]) -> Decision:
    return msgspec.structs.replace(decision, actions=(*decision.actions, *actions))


def abandoned_stop(view: View) -> tuple[Action, ...]:
    """A shutdown that an earlier agent, or a person, began gets its time limit here: one that hangs would keep this
    member out of the cluster for ever."""
    if view.server.process is not Process.STOPPING or view.task is not None:
        return ()
    return (Stop(view.configuration.primary_stop_timeout),)


def unread(missing: tuple[str, ...]) -> Decision:
    """Since its start this agent has not read everything that a decision rests on."""
    return Decision((), Reason("waiting-for-api", f"nothing is decided before these were read: {', '.join(missing)}"))


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
