"""A planned change of the leader, on request: the holder executes it (ha-protocol §5, Switchover).

    pending -> running     the holder, with a fit target; confirmed before anything stops
    running, same epoch    gate -> stop -> the target has everything -> handover
    running, later epoch   whoever is primary by then says how it ended

An attempt that cannot go on fails and PostgreSQL starts again in place. Every step is found again from what is
observed, so an agent that starts anew goes on where the last one ended.
"""

from __future__ import annotations

import msgspec

from pgherd.decide import compare, handing, holder, standby, succession
from pgherd.decide.asked import answer
from pgherd.model.actions import Action, Decision, PollPeers, Reason, Stop
from pgherd.model.lease import Lease
from pgherd.model.request import Asked, Stage, Verb
from pgherd.model.server import Process
from pgherd.model.view import TaskKind, View

WAIT = 5.0
"""Seconds that a request waits for somebody who can take over, before it is refused."""
GATE = 20.0
"""Seconds that a target has to become fit."""
REPLAY = 64 * 1024 * 1024
"""Bytes that a target may still have to replay: its promotion waits for them, and so do the clients."""
NO_CANDIDATE = "it does not answer, or does not stream from the leader within maximum_lag_on_failover"
VERBS = (Verb.SWITCHOVER, Verb.FAILOVER)


def decide(view: View, record: Lease, now: float) -> Decision | None:
    """The next step of the switchover that runs; None when none does, or when PostgreSQL needs something else first."""
    asked = running(view, record)
    if asked is None or view.server.promoting or view.server.process is Process.CRASHED:
        return None
    target = chosen(view, record, asked)
    if view.server.process is Process.STOPPED and view.task is None:
        if not view.server.was_primary and not compare.leads_standbys(view):
            return None
        return handing.give(view, record, target, now) or failed(view, record, asked, now)
    stops = view.task is not None and view.task.kind in (TaskKind.STOP, TaskKind.KILL)
    if stops or view.server.process is Process.STOPPING:
        reason = Reason("switchover", f"stopping PostgreSQL to hand over to {target or 'a candidate'}")
        return handing.stop(view, record, target, reason, view.configuration.primary_stop_timeout, now)
    leads = view.server.primary or compare.leads_standbys(view)
    if view.task is None and leads and view.server.process is Process.RUNNING:
        return gate(view, record, asked, target, now)
    return None


def running(view: View, record: Lease) -> Asked | None:
    """The one of this epoch that runs."""
    for asked in view.requests:
        request = asked.request
        if request.verb in VERBS and request.state is Stage.RUNNING and request.epoch == record.epoch:
            return asked
    return None


def chosen(view: View, record: Lease, asked: Asked) -> str | None:
    """The member that is to take over, while it can: a recorded candidate that answers and stays."""
    wanted = asked.request.member
    if wanted is None:
        return succession.best(view, record)
    return wanted if wanted in succession.successors(view, record) else None


def gate(view: View, record: Lease, asked: Asked, target: str | None, now: float) -> Decision:
    """PostgreSQL is stopped only for a target that streams and will be writable soon; clients notice nothing so far."""
    base = standby.decide(view, now)
    if base.reason.code not in holder.LEADS:
        return base
    why = unready(view, target) if target else f"{asked.request.member or 'no member'} can take over"
    if target and why is None:
        stop: Action = Stop(view.configuration.primary_stop_timeout, checkpoint=True)
        return Decision((*base.actions, stop), Reason("switchover", f"handing over to {target}"), now + 0.1)
    if now - asked.since > GATE:
        return msgspec.structs.replace(base, actions=(*base.actions, answer(asked, Stage.FAILED, f"{why}")))
    reason = Reason("switchover-waits", f"before the switchover: {why}")
    return Decision((*base.actions, PollPeers()), reason, now + 0.2)


def unready(view: View, target: str) -> str | None:
    status, own = compare.status_of(view, target), view.server.position
    if status is None or own is None:
        return f"{target} does not answer"
    behind = own.lsn - status.replayed
    return f"{target} has {behind} bytes to replay (at most {REPLAY} are waited for)" if behind > REPLAY else None


def failed(view: View, record: Lease, asked: Asked, now: float) -> Decision:
    """PostgreSQL is stopped and nobody can be named: on in place, as the same primary."""
    base = standby.decide(view, now)
    target = asked.request.member or "a candidate"
    text = f"{target} did not receive the end of the WAL in {handing.CATCH_UP:g} s; the leader goes on"
    return msgspec.structs.replace(base, actions=(*base.actions, answer(asked, Stage.FAILED, text)))


# What a published primary answers.


def answers(view: View, record: Lease, now: float) -> tuple[Action, ...]:
    """One step of the oldest request that needs one: said how it ended, refused, or begun."""
    busy = running(view, record) is not None
    for asked in view.requests:
        request = asked.request
        if request.verb not in VERBS:
            continue
        if request.state is Stage.RUNNING and request.epoch < record.epoch:
            return (outcome(view, record, asked),)
        if request.state is Stage.PENDING:
            why = refusal(view, asked)
            there = chosen(view, record, asked) is not None
            if why is None and not there and now - asked.since > WAIT:
                who = f"member={request.member!r}: it" if request.member else "any other member"
                why = f"{who} cannot take over: {NO_CANDIDATE}"
            if why is not None:
                return (answer(asked, Stage.REFUSED, why),)
            if there and not busy:
                return (answer(asked, Stage.RUNNING, epoch=record.epoch, result={"from": view.member}),)
    return ()


def in_pause(view: View) -> tuple[Action, ...]:
    """Nobody is promoted in a pause."""
    ends = {Stage.PENDING: Stage.REFUSED, Stage.RUNNING: Stage.FAILED}
    mine = (asked for asked in view.requests if asked.request.verb in VERBS)
    return tuple(answer(asked, ends[asked.request.state], "maintenance: pgherd resume ends it") for asked in mine)


def outcome(view: View, record: Lease, asked: Asked) -> Action:
    request = asked.request
    result = {**request.result, "to": view.member, "lease_epoch": str(record.epoch)}
    if record.holder is not None:
        result["timeline"] = str(record.holder.timeline)
    if view.member == request.result.get("from"):
        return answer(asked, Stage.FAILED, f"nobody took over: {view.member} is the leader again", result=result)
    if request.member not in (None, view.member):
        return answer(asked, Stage.FAILED, f"{view.member} took over instead of {request.member}", result=result)
    return answer(asked, Stage.DONE, f"{view.member} is the leader", result=result)


def refusal(view: View, asked: Asked) -> str | None:
    """Why it cannot be begun at all; what only needs time is waited for."""
    request = asked.request
    if asked.expired:
        return "nobody could begin before it expired"
    if request.leader not in (None, view.member):
        return f"leader={request.leader!r}: {view.member} leads"
    if request.member == view.member:
        return f"member={request.member!r}: it is the leader already"
    if request.member is not None and request.member not in view.members:
        return f"member={request.member!r}: must be one of {', '.join(view.members)}"
    return None
