"""A failover that a person asks for while nobody leads: the named member executes it (ha-protocol §5).

The lease has to be open all the same, by time or by proof; only a person's word that the holder is dead opens it
early, and a holder that answers refutes that word. What else is waived is named in the request, and the receipt
says what it may have cost.
"""

from __future__ import annotations

import msgspec

from pgherd.decide.asked import answer
from pgherd.model.actions import Decision, Reason, WriteLease
from pgherd.model.lease import Lease
from pgherd.model.request import Asked, Stage, Verb
from pgherd.model.view import View

CODE = "failover-forced"
"""The reason of an opening that a person's word made."""
PATIENCE = 30.0
"""Seconds that the member has to become able to take the lease."""


class Opening(msgspec.Struct, frozen=True):
    """Why and since when the lease may be taken."""

    since: float
    reason: Reason
    proof: bool


def asked(view: View) -> Asked | None:
    """The failover to this member that a person wants."""
    for each in view.requests:
        if each.request.verb is Verb.FAILOVER and each.request.member == view.member and not each.expired:
            return each
    return None


def accepts_loss(view: View) -> bool:
    found = asked(view)
    return found is not None and found.request.parameters.accept_loss


def way(view: View, found: Opening | float) -> Opening | float:
    """The opening, or the one that a person's word makes."""
    wanted, record = asked(view), view.knowledge.record
    if isinstance(found, Opening) or wanted is None or record is None or not wanted.request.parameters.leader_is_dead:
        return found
    if wanted.request.state is Stage.RUNNING and wanted.request.epoch != record.epoch:
        return found  # it was said of an earlier holder
    by = f" by {wanted.request.by}" if wanted.request.by else ""
    return Opening(wanted.since, Reason("failover-forced", f"asked for{by}: {record.leader} is said to be dead"), True)


def answered(view: View, record: Lease, decision: Decision | None, why: str | None, now: float) -> Decision | None:
    """The decision, and what it means for the request: it runs before the lease is taken for it."""
    wanted = asked(view)
    if decision is None or wanted is None:
        return decision
    request = wanted.request
    if decision.reason.code in ("holder-answers", "primary-answers") and request.parameters.leader_is_dead:
        return _with(decision, wanted, Stage.REFUSED, f"leader_is_dead: {decision.reason.text}")
    if request.state is Stage.PENDING and any(isinstance(action, WriteLease) for action in decision.actions):
        waits = answer(wanted, Stage.RUNNING, epoch=record.epoch, result={"from": record.leader or ""})
        return msgspec.structs.replace(decision, actions=(waits,))
    if why is not None and view.task is None and now - wanted.since > PATIENCE:
        return _with(decision, wanted, Stage.FAILED, why)
    return decision


def _with(decision: Decision, wanted: Asked, stage: Stage, text: str) -> Decision:
    return msgspec.structs.replace(decision, actions=(*decision.actions, answer(wanted, stage, text)))
