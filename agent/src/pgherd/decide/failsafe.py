"""This member holds the lease, and the Kubernetes API does not confirm its renewals (ha-protocol §5).

What would be renewed through the API goes on by promises, with the same proof of health; nothing else does: neither a
cluster that is not published yet, nor a member that leaves. Renewals are tried all the while, and the first that is
confirmed ends this.
"""

from __future__ import annotations

import msgspec

from pgherd.decide import compare, holder, standby
from pgherd.model.actions import AskPromises, Decision, Reason, WriteLease
from pgherd.model.knowledge import WriteKind, extended, renewed_at
from pgherd.model.promises import candidates
from pgherd.model.server import Process
from pgherd.model.view import View

AGAIN = 0.25
"""Seconds until the next look at a round that is under way, or that did not count."""


def due(view: View) -> float | None:
    """Boot time of the next round: when a renewal had its time, then as often as renewals; None without failsafe."""
    record, held, configuration = view.knowledge.record, view.knowledge.held, view.configuration
    if record is None or record.holder is None or held is None or not configuration.failsafe_mode:
        return None
    if record.holder.writable != record.holder.timeline or compare.identified(view) is None:
        return None
    first = 0.0 if extended(view.knowledge) else configuration.retry_timeout
    return renewed_at(view.knowledge) + configuration.loop_wait + first


def renews(view: View, now: float) -> bool:
    """Whether this member would renew its lease now, if nothing were under way.

    The write that publishes a primary needs no proof of health, since it extends nothing that was not taken just now;
    going on without the API does (S4).
    """
    works = view.server.primary and view.server.process is Process.RUNNING and view.task is None
    if works and not holder.healthy(view):
        return False
    decision = standby.decide(msgspec.structs.replace(view, writing=False), now)
    return any(isinstance(action, WriteLease) and action.kind is WriteKind.RENEW for action in decision.actions)


def extend(view: View, now: float, decision: Decision) -> Decision:
    """The holder's decision, and the round that is due beside it."""
    at = due(view)
    if at is None:
        return decision
    if decision.reason.code in ("primary", "standby-leader", "remote-silent"):
        # A renewal is overdue all the while, which is no reason to look all the while: its end is heard of.
        wake_at = at if extended(view.knowledge) else decision.wake_at
        decision = msgspec.structs.replace(decision, reason=why(view, now, at) or decision.reason, wake_at=wake_at)
    if now < at:
        return msgspec.structs.replace(decision, wake_at=min(decision.wake_at or at, at))
    if not renews(view, now):
        return decision
    return msgspec.structs.replace(decision, actions=(*decision.actions, AskPromises()), wake_at=now + AGAIN)


def why(view: View, now: float, at: float) -> Reason | None:
    """What carries the lease, when it is not the API."""
    silent = "the Kubernetes API does not confirm renewals"
    if now >= at and view.unpromised:
        return Reason("promise-missing", f"{silent}, and the lease ends soon: {view.unpromised}")
    if not extended(view.knowledge):
        return None
    names = ", ".join(sorted(candidates(view.knowledge) - {view.member}))
    return Reason(
        "failsafe", f"{silent}; leader on {f'the promises of {names}' if names else 'nobody else can take it'}"
    )
