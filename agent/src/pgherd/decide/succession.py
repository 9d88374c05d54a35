"""Giving the lease up, and to whom: nothing is given up before PostgreSQL is dead (S1), and a candidate is named only
when it has every acknowledged commit (S3)."""

from __future__ import annotations

import msgspec

from pgherd.decide import compare, synchronous
from pgherd.model.actions import Decision, Kill, Reason, WriteLease
from pgherd.model.knowledge import WriteKind
from pgherd.model.lease import Handover, Lease
from pgherd.model.member import MemberStatus
from pgherd.model.position import Position
from pgherd.model.server import Process
from pgherd.model.tags import never_leads, priority
from pgherd.model.view import TaskKind, View


def successors(view: View, record: Lease) -> dict[str, Position]:
    """The recorded candidates that answer and stay, with what they have."""
    named = {candidate.member: candidate.incarnation for candidate in record.candidates}
    return {
        status.member: status.position
        for status in compare.answers(view)
        if named.get(status.member) == status.incarnation
        and not status.terminating
        and status.position
        and not never_leads(status.tags)
    }


def best(view: View, record: Lease) -> str | None:
    """The best of them; of equals the first by name, as elections choose."""
    return _first(view, successors(view, record))


def successor(view: View, record: Lease, among: frozenset[str] | None = None) -> str | None:
    """The best of those (`among` these, if given) who can be given the lease by name as things stand (S3)."""
    there = successors(view, record)
    sure = {status.member for status in compare.answers(view) if entitled(view, record, status)}
    sure = sure if among is None else sure & among
    return _first(view, {name: position for name, position in there.items() if name in sure})


def _first(view: View, there: dict[str, Position]) -> str | None:
    rank = {status.member: priority(status.tags) for status in compare.answers(view)}
    return min(there, key=lambda name: (-there[name].timeline, -there[name].lsn, -rank[name], name), default=None)


def entitled(view: View, record: Lease, status: MemberStatus) -> bool:
    """Whether it has every acknowledged commit: all WAL of a clean shutdown, or by the recorded set (S3)."""
    who = synchronous.standby(status.member, status.incarnation)
    return has_everything(view, status) or synchronous.suffices(record, who)


def has_everything(view: View, status: MemberStatus) -> bool:
    """The own server was shut down cleanly, and that member has all of its WAL."""
    own = view.server.position
    clean = view.server.process is Process.STOPPED and view.server.clean
    theirs = status.position
    if not clean or own is None or theirs is None:
        return False
    return theirs.timeline == own.timeline and theirs.lsn >= own.lsn


def give_up(view: View, record: Lease, code: str, text: str, target: str | None = None) -> Decision:
    """Hand the lease to a candidate (the best, or `target`) or release it; PostgreSQL is dead before that (S1)."""
    reason = Reason(code, text)
    if view.server.process is not Process.STOPPED or view.server.primary:
        return Decision(() if view.task and view.task.kind is TaskKind.KILL else (Kill(),), reason)
    if view.task is not None and view.task.kind is not TaskKind.KILL:
        return Decision((Kill(),), reason)
    if view.writing or view.task is not None:
        return Decision((), reason)
    return Decision((surrender(view, record, target or successor(view, record)),), reason)


def release(record: Lease) -> WriteLease:
    """To whoever comes: the best of those who are there."""
    new = msgspec.structs.replace(record, address=None, handover=None, released=record.epoch)
    return WriteLease(WriteKind.RELEASE, new)


def surrender(view: View, record: Lease, target: str | None) -> WriteLease:
    """The write that gives the lease up: to this candidate by name, or to whoever comes."""
    base = msgspec.structs.replace(record, address=None, handover=None)
    status = compare.status_of(view, target)
    if status is None or status.incarnation is None:
        return release(record)
    lsn = view.server.position.lsn if view.server.clean and view.server.position else 0
    handover = Handover(status.member, status.incarnation, record.epoch, lsn)
    return WriteLease(WriteKind.HANDOVER, msgspec.structs.replace(base, handover=handover))
