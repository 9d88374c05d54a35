"""The lock object is lost: missing, malformed, nameless, or older than what was seen. It heals by itself (§2).

Why that is safe (S1). Whoever puts a record there makes no new lease of it: it bears the nonce of its last holder's
write and an epoch of its own, so every other member waits for a whole ttl from its first look at it. Each lease that
was ever confirmed was confirmed on an earlier version of the object, so it has ended by then, whoever had it.
- The living holder needs nobody's word. Nobody can have taken a lease that has not ended by its holder's clock, except
  on proof of that holder's own death; so its record is the newest, and it writes it again as it would renew it, under
  another epoch, before its deadline. No failover.
- Without it the newest record of ALL declared members counts, since its candidates bind the next election and its
  epoch and timeline must be passed (S2, S3). One of the others may be the last holder and know a newer one: while a
  member is silent nobody goes on, and a person may decide (docs/operations.md).
- Where a member remembers no lease (an emptied volume) or may have taken one that nobody saw, the record is restored
  without the identity of its holder's container: the death of that one proves nothing then.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from pgherd.decide import compare, holder
from pgherd.decide.election import STEP
from pgherd.model.actions import Decision, PollPeers, Reason, RestoreLease, WriteLease
from pgherd.model.knowledge import NAMELESS, WriteKind, holds
from pgherd.model.lease import Lease
from pgherd.model.position import Position
from pgherd.model.server import Process
from pgherd.model.view import View

NEW = "the lock object is a new one, and the cluster is not"
HEAD_START = 1.0
"""Seconds that a living holder is given to heal what it holds."""
HEALS = holder.LEADS | {"failsafe", "promise-missing"}
"""Reasons of a primary that would renew: the API may have come back without the lock."""
FRESH = 3.0
"""Seconds for which a word counts: its speaker may have healed the lock since, and seen it lost again."""


class Word(msgspec.Struct, frozen=True):
    """What one declared member remembers."""

    member: str
    record: Lease | None
    epoch: int
    """The largest that it saw, in a record that named nobody or in a write of its own without an answer, too."""
    timeline: int = 0
    """That its data are on; 0 without data of this cluster."""


def happened(view: View) -> str:
    """What is wrong with the lock object; "" when nothing is."""
    known, record = view.knowledge, view.knowledge.record
    if record is None:
        return known.trouble or "the lock object was not read yet"
    if not record.free and not record.named:
        return NAMELESS
    if record.epoch == 0 and compare.identified(view) is not None:
        return NEW
    return ""


def standing(view: View, now: float) -> View | None:
    """For the living holder of a lost lock: its view with its own last record, under the epoch that it is to write."""
    known = view.knowledge
    last = known.last
    if known.record is not None or not known.lost_since or last is None or not holds(known, now):
        return None
    assert known.held is not None
    if last.nonce != known.held.nonce:
        return None
    published = view.server.primary or (last.holder is not None and last.holder.standby)
    serves = view.task is None and published and view.server.process is Process.RUNNING
    address = last.address if serves else None  # told to stop: a new lock sends nobody to it
    again = msgspec.structs.replace(last, epoch=known.highest_epoch + 1, address=address)
    return msgspec.structs.replace(view, knowledge=msgspec.structs.replace(known, record=again))


def healed(view: View, decision: Decision, now: float) -> Decision:
    """Its next renewal makes the lock again; at once if PostgreSQL was proved to work since the last one (S4)."""
    record = view.knowledge.record
    assert record is not None
    if decision.reason.code not in HEALS or view.writing or not holder.healthy(view):
        return decision
    others = tuple(action for action in decision.actions if not isinstance(action, WriteLease))
    write = WriteLease(WriteKind.RENEW, holder.fresh(view, record, now))
    text = f"{view.knowledge.trouble}; this member holds the lease and makes the lock again"
    return Decision((*others, write), Reason("lock-healing", text), decision.wake_at)


def decide(view: View, trouble: str, now: float) -> Decision | None:
    """Nobody here holds the lease: restore the newest record of all, to be waited out like any other.

    None: the object is new and free, and every member says that it remembers no lease.
    """
    known = view.knowledge
    began = known.lost_since or known.first_seen
    if known.record is None and not known.lost_since:
        return Decision((), Reason("lock-lost", trouble), now + 1.0)
    words, silent = gather(view, max(known.shown_since or began, now - FRESH))
    if silent:
        text = f"{trouble}; restored when every member has said what it saw last, not yet heard: {', '.join(silent)}"
        return Decision((PollPeers(),), Reason("lock-lost", text), now + 0.5)
    record = restored(view, words)
    if record is None and known.record is not None and known.record.free:
        return None
    if record is None:
        text = f"{trouble}; no member remembers a lease: a person must look (docs/operations.md: the lock is lost)"
        return Decision((PollPeers(),), Reason("lock-lost", text), now + 1.0)
    rank = view.members.index(view.member) if view.member in view.members else len(view.members)
    turn = began + HEAD_START + rank * STEP
    text = f"{trouble}; restoring the newest record, of {record.leader}"
    if now < turn:
        return Decision((PollPeers(),), Reason("lock-restoring", text), min(turn, now + 0.5))
    return Decision((RestoreLease(record),), Reason("lock-restoring", text), now + 1.0)


def gather(view: View, since: float) -> tuple[tuple[Word, ...], list[str]]:
    """Every declared member's word, own included, and who has not spoken since `since`."""
    known = view.knowledge
    tried = max((attempt.epoch for attempt in known.unanswered), default=0)
    own = view.server
    words = [
        Word(
            view.member,
            known.last,
            max(known.highest_epoch, tried),
            timeline(view, own.system_identifier, own.position),
        )
    ]
    for status in compare.answers(view, since):
        epoch = max(status.epoch_seen, status.epoch_tried)
        line = timeline(view, status.system_identifier, status.position)
        words.append(Word(status.member, status.lease_seen, epoch, line))
    return tuple(words), sorted(set(view.members) - {word.member for word in words})


def timeline(view: View, system: str | None, position: Position | None) -> int:
    stranger = compare.identified(view) not in (None, system)
    return 0 if position is None or stranger else position.timeline


def restored(view: View, words: Sequence[Word]) -> Lease | None:
    """The newest record that a member remembers, as everybody is to wait it out; None when nobody remembers any."""
    named = [(word.record.epoch, word.record.serial, word.record.leader == word.member, word.record)
             for word in words if word.record is not None and word.record.named]  # fmt: skip
    if not named:
        return None
    newest = max(named, key=lambda each: each[:3])[3]
    assert newest.holder is not None
    certain = all(word.record is not None and word.record.named and word.epoch <= newest.epoch for word in words)
    mark = msgspec.structs.replace(newest.holder, serial=newest.serial + 1)
    given_up = certain and (newest.free or newest.handover is not None)
    if not given_up and not mark.standby and any(word.timeline == mark.timeline for word in words):
        # Its promotion took place. Nobody may have seen that it was published before the lock was lost (S2). Who gave
        # the lease away has said so with its last write, if it was.
        mark = msgspec.structs.replace(mark, writable=mark.timeline)
    if not certain:
        mark = msgspec.structs.replace(mark, uid="", container="")
    # Of a pause that is over: who gave a paused lease away had stopped PostgreSQL, and nobody came after it.
    over = certain and newest.free and not view.configuration.pause
    pause = newest.pause and not over
    leader = compare.status_of(view, newest.leader)
    return msgspec.structs.replace(
        newest, epoch=max(word.epoch for word in words) + 1, released=None, handover=None, pause=pause,
        holder=msgspec.structs.replace(mark, pause=pause),
        ttl=max(view.configuration.ttl, *(record.ttl for *_, record in named)),
        address=newest.address if leader is not None and leader.role in ("primary", "standby_leader") else None,
    )  # fmt: skip
