"""Which replication slots should exist on this member, and what the lease says of them.

Every member keeps a slot for every other one, standbys included: whoever is promoted has the WAL that the others
still need. Declared slots are kept everywhere for the same reason. What is undeclared is its user's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pgherd.decide import compare, upstream
from pgherd.model.actions import Decision, PollPeers, Reason, Stop
from pgherd.model.knowledge import holds
from pgherd.model.lease import Lease
from pgherd.model.member import Peer, Pod
from pgherd.model.server import Process
from pgherd.model.slots import SlotOrders, Wanted, slot_name
from pgherd.model.view import View

RECENT = 5.0
"""Seconds: how old the others' word may be when this standby restarts for a slot."""


def remembered(
    before: Mapping[str, float], own: str, declared: Iterable[str], pods: Iterable[Pod], record: Lease | None,
    kept: Iterable[str], ttl: float, now: float,
) -> dict[str, float]:  # fmt: skip
    """Members' slots -> when each member was last there, on this agent's clock.

    A member is there while it has a pod. A declared one without, and one that only the lease still names, counts from
    the first look. After `ttl` it is forgotten once its slot is gone from this server, too (`kept`).
    """
    there = {slot_name(pod.member) for pod in pods}
    named = {slot_name(member) for member in declared} | set(record.retain_slots if record else ())
    seen = {name: before.get(name, now) for name in named | before.keys()} | dict.fromkeys(there, now)
    declared_names, left = {slot_name(member) for member in declared}, set(kept)
    return {
        name: at
        for name, at in seen.items()
        if name != slot_name(own) and (name in declared_names or name in left or now < at + ttl)
    }


def retained(view: View, now: float) -> tuple[str, ...]:
    """Slots of members that are there, or were within `member_slots_ttl`."""
    ttl = view.configuration.member_slots_ttl
    return tuple(sorted(name for name, at in view.slots_present.items() if now < at + ttl))


def orders(view: View, now: float) -> SlotOrders | None:
    """None while this is no moment for slots: PostgreSQL does not run, or becomes something else."""
    server, record = view.server, view.knowledge.record
    if record is None or server.position is None or server.promoting or server.process is not Process.RUNNING:
        return None
    held = holds(view.knowledge, now)
    settled = (server.primary or (held and compare.leads_standbys(view))) == held
    if view.task is not None or compare.stranger(view) or not settled:
        return None
    use, own = view.configuration.postgresql.use_slots, slot_name(view.member)
    kept = [name for name in retained(view, now) if name not in cascaded(view)]
    members = [Wanted(name, position=_position(record, name)) for name in kept] if use else []
    declared = _declared(view, record)
    return SlotOrders(
        primary=server.primary,
        timeline=server.position.timeline,
        slots=(*(slot for slot in members if slot.name not in {each.name for each in declared}), *declared),
        own=own,
        members=tuple(sorted({own, *view.slots_present})),
        ignore=view.configuration.ignore_slots,
    )


def cascaded(view: View) -> set[str]:
    """Slots of members that stream, as they are told, from another standby: only that one keeps theirs. Here nobody
    would ask for the WAL that they hold."""
    return {slot_name(member) for member in view.members if upstream.streams_elsewhere(view, member)}


def _position(record: Lease, name: str) -> int:
    """Up to where WAL is no longer needed: the leader's own slot counts from what it last published."""
    if record.leader is not None and slot_name(record.leader) == name:
        return record.optime
    return record.slots.get(name, 0)


def _declared(view: View, record: Lease) -> list[Wanted]:
    found = []
    for name, slot in sorted(view.configuration.permanent.items()):
        if name == slot_name(view.member):
            continue
        known = name in record.slots and slot.kind == "logical"
        found.append(Wanted(name, slot.kind, slot.database, slot.plugin, record.slots.get(name, 0), known))
    return found


def published(view: View, record: Lease) -> dict[str, int]:
    """For the lease: what this primary keeps. What it does not have yet, or lost, stays as it was last known, so that
    the others go on holding that WAL, and so that a lost slot is not taken for a new one."""
    standby = record.holder is not None and record.holder.standby and not view.server.primary
    found = view.slots.positions if standby or (view.slots.primary and view.server.primary) else {}
    ours = {*view.slots_present, *view.configuration.permanent} - cascaded(view)
    kept = {name: position for name, position in record.slots.items() if name in ours}
    return {**kept, **found}


def restart(view: View, now: float) -> Decision | None:
    """Before PostgreSQL 17 a standby gets a copied logical slot only by a start.

    One standby at a time, by name, and only while another one could be promoted: None when it is not this one's turn.
    """
    record = view.knowledge.record
    if record is None or record.pause or not view.slots.waiting or view.slots.primary or view.server.primary:
        return None
    leader = record.leader
    others = [peer for peer in view.peers if peer.pod.member != leader and not peer.pod.terminating]
    names = ", ".join(view.slots.waiting)
    if any(now - peer.ended > RECENT for peer in others):
        text = f"slot {names}: the others are asked whether a restart may be"
        return Decision((PollPeers(),), Reason("slot-restart-waits", text), now + 0.3)
    before = [peer.pod.member for peer in others if _waits(peer) and peer.pod.member < view.member]
    if before or not _safe(others, leader):
        return None
    text = f"restarting to take over slot {names} from {leader}"
    return Decision((Stop(view.configuration.primary_stop_timeout),), Reason("slot-restart", text), now + 1.0)


def _waits(peer: Peer) -> bool:
    return peer.status is not None and bool(peer.status.slots_waiting)


def _safe(others: list[Peer], leader: str | None) -> bool:
    """Another standby streams, or there is none."""
    answered = [peer.status for peer in others if peer.status is not None]
    return not others or any(status.streaming_from == leader for status in answered)
