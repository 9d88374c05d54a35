"""Requests to this very member, restart, reload, reinitialise: begun when nothing else is under way, and answered."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from pgherd.decide import compare, holder
from pgherd.model.actions import (
    Action,
    AnswerRequest,
    Decision,
    KeepPrimary,
    Reason,
    Reinitialise,
    Reload,
    Restart,
    WriteLease,
)
from pgherd.model.lease import Lease
from pgherd.model.request import Asked, Request, Stage, Verb
from pgherd.model.server import Process
from pgherd.model.view import View

VERBS = (Verb.RESTART, Verb.RELOAD, Verb.REINITIALIZE)
ARRIVES = 3.0
"""Seconds after which a change of the configuration that was written before a request is in force here."""
LONGEST_WAIT = 300.0
"""Seconds after which a request that could not be begun is refused, and one that was begun without being carried out
has failed: it stands before every later request to this member, and must not strike when nobody thinks of it any more.
"""
SETTLED = holder.LEADS | {
    "unhealthy", "failsafe", "paused", "replica", "not-streaming", "wal-gone", "waiting-for-leader"
}  # fmt: skip
"""Reasons of decisions beside which a restart may begin: nothing else is about to happen to PostgreSQL."""


def answer(
    asked: Asked, stage: Stage, reason: str = "", epoch: int | None = None, result: Mapping[str, str] | None = None
) -> AnswerRequest:
    """The request with what its executor says now."""
    request = asked.request
    return AnswerRequest(
        msgspec.structs.replace(
            request, state=stage, reason=reason, epoch=request.epoch if epoch is None else epoch,
            result=request.result if result is None else result,
        )
    )  # fmt: skip


def also(view: View, decision: Decision, now: float) -> Decision:
    """The decision with the oldest request to this member served beside it, or instead of the rest of it."""
    record = view.knowledge.record
    asked = next((each for each in view.requests if _mine(view, each)), None)
    if asked is None or record is None or view.task is not None:
        return decision
    request = asked.request
    why = refusal(view, record, asked, decision, now)
    if why is not None:
        return _with(decision, answer(asked, Stage.REFUSED, why))
    if request.parameters.only_pending and request.state is Stage.PENDING and not view.server.pending_restart:
        return _with_nothing_to_do(decision, asked, now)
    settled = request.verb is Verb.REINITIALIZE or decision.reason.code in SETTLED or by_hand(view, record, request)
    if request.state is Stage.PENDING:
        return _with(decision, answer(asked, Stage.RUNNING, epoch=record.epoch)) if settled else decision
    if asked.begun is None:
        text = "the agent ended while it ran: see how the member is, and ask again"
        return _with(decision, answer(asked, Stage.FAILED, text))
    kept = tuple(each for each in decision.actions if isinstance(each, (WriteLease, KeepPrimary)))
    action = _action(view, record, asked) if settled else None
    if action is None:
        undone = _undone(view, record, asked, decision, now)
        return _with(decision, answer(asked, Stage.FAILED, undone)) if undone else decision
    reason = Reason("on-request", f"{request.verb.value}, request {request.id}")
    return Decision((*kept, action), reason, decision.wake_at)


def _undone(view: View, record: Lease, asked: Asked, decision: Decision, now: float) -> str:
    """Why what is running by its word will not be carried out; empty while it still may be."""
    if asked.request.verb is Verb.REINITIALIZE and (record.leader == view.member or view.server.primary):
        return f"member={view.member!r}: it became the leader first; its data are kept"
    if asked.begun is not None and now - asked.begun > LONGEST_WAIT:
        return f"not carried out within {LONGEST_WAIT:g} s: {decision.reason.text}"
    return ""


def _mine(view: View, asked: Asked) -> bool:
    return asked.request.verb in VERBS and asked.request.member == view.member


def _with_nothing_to_do(decision: Decision, asked: Asked, now: float) -> Decision:
    """Only after a while: what was configured just before it was asked for may not have arrived here yet."""
    settled = asked.since + ARRIVES
    if now >= settled:
        return _with(decision, answer(asked, Stage.DONE, "nothing waits for a restart", result={"restarted": "false"}))
    wake = settled if decision.wake_at is None else min(settled, decision.wake_at)
    return msgspec.structs.replace(decision, wake_at=wake)


def _with(decision: Decision, action: Action) -> Decision:
    return msgspec.structs.replace(decision, actions=(*decision.actions, action))


def refusal(view: View, record: Lease, asked: Asked, decision: Decision, now: float) -> str | None:
    """Why it is not begun beside, or instead of, that decision."""
    request = asked.request
    if request.state is not Stage.PENDING:
        return None
    if asked.expired:
        return "nobody could begin before it expired"
    if now - asked.since > LONGEST_WAIT:
        return f"it could not be begun within {LONGEST_WAIT:g} s: {decision.reason.text}"
    running = view.server.process is Process.RUNNING
    if request.verb is Verb.REINITIALIZE:
        if record.leader == view.member or view.server.primary:
            return f"member={view.member!r}: it is the leader; switch over first"
        return None if compare.status_of(view, record.leader) else f"its leader {record.leader} does not answer"
    if running or by_hand(view, record, request):
        return None
    return f"PostgreSQL is {view.server.process.value}"


def by_hand(view: View, record: Lease, request: Request) -> bool:
    """Whether it starts what was stopped in a pause: nothing else does."""
    return record.pause and view.server.process is Process.STOPPED and request.verb is Verb.RESTART


def _action(view: View, record: Lease, asked: Asked) -> Action | None:
    request, timeout = asked.request, view.configuration.primary_stop_timeout
    match request.verb:
        case Verb.RESTART:
            # In a pause people start again what has stopped; it is what it was.
            again = view.server.process is Process.STOPPED and record.leader == view.member
            primary = view.server.primary or (again and view.server.was_primary)
            others = record.leader if record.leader != view.member else None
            following = None if primary else view.server.following or others
            return Restart(timeout, primary, following, request.id)
        case Verb.RELOAD:
            return Reload(request.id)
    # To what is no primary yet, a copy cannot be made.
    ready = record.address is not None and record.leader not in (None, view.member)
    return Reinitialise(str(record.leader), timeout, request.id) if ready else None
