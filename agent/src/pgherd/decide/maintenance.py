"""A recorded pause: people work on PostgreSQL, and nobody promotes, starts, stops or replaces anything (§5, "Pause").

It holds from the confirmed record until the holder's confirmed record without it. `hold` is the holder's part,
`restrain` the others'. S1 and S2 still hold, since nobody takes a paused lease by time or death; only its own maker
goes on with it after a restart, and gives it away.
"""

from __future__ import annotations

import msgspec

from pgherd.decide import compare, election, holder
from pgherd.model.actions import (
    Action,
    Clone,
    Decision,
    Initialise,
    KeepPrimary,
    Kill,
    PollPeers,
    Promote,
    Reason,
    Rewind,
    Start,
    Stop,
    WriteLease,
)
from pgherd.model.knowledge import WriteKind
from pgherd.model.lease import Lease
from pgherd.model.server import Process
from pgherd.model.view import TaskKind, View

LEFT_ALONE = (Initialise, Clone, Rewind, Start, Stop, Promote)


def recorded(view: View) -> bool:
    """Whether this member's own confirmed record has the pause."""
    known = view.knowledge
    return known.held is not None and known.held.pause and known.record is not None and known.record.pause


def hold(view: View, record: Lease, now: float) -> Decision:
    """Renew, and keep a running primary's slots and address; whatever people do to it, it stays as it is."""
    server = view.server
    running = server.primary and not server.promoting
    keep: tuple[Action, ...] = (KeepPrimary(),) if running else ()
    if server.process is Process.CRASHED and (view.task is None or view.task.kind is not TaskKind.KILL):
        keep = (Kill(),)  # what is left of it: a person starts it only when nothing is
    if not view.configuration.pause and view.configuration_read:
        return resume(view, record, now, keep)
    write = holder.renewal(view, record, now, proved=True)
    timeline = server.position.timeline if server.position else 0
    unpublished = record.address != view.address or record.holder is None or record.holder.writable != timeline
    if running and unpublished and not view.writing:
        write = (publish(view, record, timeline, now), PollPeers())
    up = running or (server.process is Process.RUNNING and compare.leads_standbys(view))
    what = "PostgreSQL runs" if up else f"PostgreSQL is {server.process.value}, and is not started"
    text = f"maintenance: leader with the lease; {what}"
    return Decision((*write, *keep), Reason("paused", text), holder.soon(view, now))


def publish(view: View, record: Lease, timeline: int, now: float) -> WriteLease:
    """A person has started PostgreSQL after the agent took its lease back: clients are sent here again."""
    assert record.holder is not None
    own = msgspec.structs.replace(record.holder, writable=timeline, timeline=timeline)
    new = msgspec.structs.replace(holder.fresh(view, record, now), address=view.address, holder=own)
    return WriteLease(WriteKind.RENEW, new)


def resume(view: View, record: Lease, now: float, keep: tuple[Action, ...]) -> Decision:
    """A confirmed renewal that still has the pause, then the write that clears it: sending that one arms the fence
    from the renewal's t0, so that PostgreSQL is dead before anybody may take the lease (S1)."""
    held = view.knowledge.held
    assert held is not None
    renewed = now < held.t0 + view.configuration.loop_wait
    new = msgspec.structs.replace(holder.fresh(view, record, now), pause=not renewed)
    write: tuple[Action, ...] = () if view.writing else (WriteLease(WriteKind.RENEW, new),)
    return Decision((*write, *keep), Reason("resuming", "the end of the pause is being recorded"), now + 0.2)


def restrain(view: View, decision: Decision) -> Decision:
    """What a member without the lease does in a pause: nothing to its data or its PostgreSQL."""
    record = view.knowledge.record
    if record is None or not record.pause:
        return decision
    left = tuple(action for action in decision.actions if not isinstance(action, LEFT_ALONE))
    if election.paused(view, record):
        if len(left) == len(decision.actions):
            return decision
        text = f"maintenance; left undone: {decision.reason.text}"
        return Decision(left, Reason("paused", text), decision.wake_at)
    silent = record.leader == view.member or compare.status_of(view, record.leader) is None
    if not record.free and silent and len(left) == len(decision.actions):
        text = (
            f"{record.leader} recorded a pause and does not end it: nobody takes its lease before the kubelet reports"
            " its container as terminated, or a person says so: pgherd resume --leader-is-dead"
        )
        return Decision(decision.actions, Reason("pause-left", text), decision.wake_at)
    return decision


def declared_dead(record: Lease, nonce: str) -> Lease:
    """A person's word that the holder of a paused lease is dead: free, under an epoch and a nonce of nobody."""
    maker = record.holder
    return msgspec.structs.replace(
        record, epoch=record.epoch + 1, released=record.epoch + 1, pause=False, address=None, handover=None,
        holder=None if maker is None else msgspec.structs.replace(maker, nonce=nonce, container="", pause=False),
    )  # fmt: skip
