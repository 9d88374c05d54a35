"""Whom a standby copies and streams from: the leader, or the member that a tag names while that one streams itself.

S8 is untouched: only who streams from the holder itself is a candidate.
"""

from __future__ import annotations

from collections.abc import Mapping

from pgherd.decide import compare
from pgherd.model import tags
from pgherd.model.member import MemberStatus
from pgherd.model.view import Failure, TaskKind, View


def streams_along(status: MemberStatus, leader: MemberStatus) -> bool:
    """A running standby that gets WAL, on the leader's timeline."""
    timeline = leader.position.timeline if leader.position else 0
    return status.role == "replica" and bool(status.streaming_from) and status.receiver_timeline == timeline


def source(view: View, leader: MemberStatus) -> str:
    """`replicatefrom`, as long as that member answers and streams; the leader otherwise. A member for whom commits wait
    (S3) stays with the leader until that has another one."""
    record = view.knowledge.record
    if record is not None and record.sync is not None and view.member in {each.member for each in record.sync.members}:
        return leader.member
    wanted = tags.upstream(view.tags.get(view.member, {}))
    if wanted is None or wanted in (view.member, leader.member) or breaks_cycle(view, view.member, leader.member):
        return leader.member
    status = compare.status_of(view, wanted)
    if status is None or not streams_along(status, leader) or status.terminating or compare.foreign(view, status):
        return leader.member
    if view.member in row(wanted, streaming(view)):
        return leader.member
    return wanted


def would_leave(view: View, member: str) -> bool:
    """Seen by the leader: a tag takes this member to another standby, which is there and does not stream from it."""
    wanted = tags.upstream(view.tags.get(member, {}))
    if wanted is None or wanted in (member, view.member) or breaks_cycle(view, member, view.member):
        return False
    status = compare.status_of(view, wanted)
    there = status is not None and status.role == "replica" and bool(status.streaming_from)
    return there and member not in row(wanted, streaming(view))


def row(first: str, onward: Mapping[str, str | None]) -> list[str]:
    """The members from `first` on, each one's next after it, each once: a cycle ends where it closes."""
    found: list[str] = []
    at: str | None = first
    while at is not None and at not in found:
        found.append(at)
        at = onward.get(at)
    return found


def streaming(view: View) -> dict[str, str | None]:
    """Who streams from whom now, by their own words."""
    return {status.member: status.streaming_from for status in compare.answers(view)}


def breaks_cycle(view: View, who: str, leader: str) -> bool:
    """Tags that lead in a circle: the first of it by name streams from the leader, the others as they are told."""
    wishes = {member: tags.upstream(each) for member, each in view.tags.items() if member != leader}
    chain = row(who, wishes)
    return wishes.get(chain[-1]) == who and who == min(chain)


def copy_source(view: View, leader: MemberStatus) -> str:
    """A member with `clonefrom` that streams, so that the leader is spared; not one that failed before."""
    tried = {failure.target for failure in view.failures if _against(failure, leader)}
    preferred = sorted(
        status.member
        for status in compare.answers(view)
        if tags.on(status.tags, "clonefrom") and streams_along(status, leader) and not status.terminating
        and status.system_identifier == leader.system_identifier and status.member not in tried
    )  # fmt: skip
    return preferred[0] if preferred else leader.member


def _against(failure: Failure, leader: MemberStatus) -> bool:
    timeline = leader.position.timeline if leader.position else 0
    return failure.kind is TaskKind.CLONE and failure.timeline == timeline


def streams_elsewhere(view: View, member: str) -> bool:
    """It streams as its tag says, from another standby: a slot on the leader would hold WAL that nobody asks for."""
    status, wanted = compare.status_of(view, member), tags.upstream(view.tags.get(member, {}))
    return status is not None and wanted not in (None, view.member) and status.streaming_from == wanted
