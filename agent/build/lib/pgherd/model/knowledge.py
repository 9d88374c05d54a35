"""What one member knows of the lease, and the arithmetic on its own clock.

Pure: the runtime and the simulation drive the same functions. All times are seconds of the member's
boot-time clock (CLOCK_BOOTTIME: monotonic, counts suspend); nothing here reads a clock.

A holder takes t0 *before* it sends; success counts from the t0 of the attempt whose nonce was read back.
An observer first saw a record (by nonce) at t1 and may take it at t1 + ttl. t1 >= t0 always, so
the holder's deadline t0 + ttl - margin lies before every observer's take (S1).
"""

from __future__ import annotations

import enum
import math

import msgspec

from pgherd.model.lease import Candidate, Lease
from pgherd.model.settings import margin

NAMELESS = "the lock object names no holder, and nobody released it"


class WriteKind(enum.Enum):
    TAKE = "take"
    """A new holder, or the same pod's new container (proof 3): epoch + 1, no address."""
    RENEW = "renew"
    """The holder's own record with what it keeps up to date (candidates, slots, optime, address)."""
    HANDOVER = "handover"
    """Names one member; the holder's PostgreSQL is dead before this is sent."""
    RELEASE = "release"
    """released = epoch; the holder's PostgreSQL is dead before this is sent."""


GIVES_UP = (WriteKind.HANDOVER, WriteKind.RELEASE)


class Attempt(msgspec.Struct, frozen=True):
    """A write that was sent. Until its nonce is read back or excluded it may have succeeded."""

    nonce: str
    t0: float
    ttl: float
    kind: WriteKind
    epoch: int
    version: str
    """resourceVersion it was decided on: any other version read back with another nonce excludes it."""
    candidates: tuple[Candidate, ...] = ()
    """Whom it names: if it succeeded, they may take the lease (model.promises)."""
    pause: bool = False
    """Whether it records a pause."""


class Extension(msgspec.Struct, frozen=True):
    """A complete round of promises (model.promises): the lease of `epoch` runs on from when the round was begun."""

    epoch: int
    began: float
    ttl: float


class Given(msgspec.Struct, frozen=True):
    """This member's own promise: it takes the lease of `epoch` before `until` only on proof."""

    epoch: int
    until: float


class Knowledge(msgspec.Struct, frozen=True):
    record: Lease | None = None
    """The newest record read; None when the object is missing or malformed (an accident, never "free")."""
    version: str = ""
    first_seen: float = 0.0
    """t1: when this record's nonce was first seen by this process. Never persisted."""
    promised: float = 0.0
    """Until when this nonce's record was to be waited out as it read before a person edited it: its holder, which
    may be cut off, does not know of a ttl that was shortened since (S1)."""
    held_from: float = 0.0
    """t0 of the first attempt of the present epoch that was confirmed: since when this member holds."""
    resumed: float = 0.0
    """t0 of the confirmed attempt that ended a pause of this epoch; 0 without one. What people did before it, and how
    long PostgreSQL stood still, is not held against anybody."""
    held: Attempt | None = None
    """The own confirmed attempt whose nonce `record` shows; None when another's record or none."""
    unanswered: tuple[Attempt, ...] = ()
    highest_epoch: int = 0
    """The largest epoch ever seen (also from the file on the volume): a smaller one is an accident."""
    trouble: str = ""
    """Why there is no record: missing, malformed, epoch went back."""
    before: str = ""
    """Nonce of the own confirmed write before `held`: what others still see whose watch is one write behind."""
    extension: Extension | None = None
    """Holder: the last complete round of promises."""
    given: Given | None = None
    """Observer: what it promised last."""
    missing: bool = False
    """The object is not there: it can only be made anew."""
    lost_since: float = 0.0
    """When the present accident was first known here; 0 when there is none."""
    shown_since: float = 0.0
    """When the version that is there in the present accident was first seen: a word from before may lack what it says.
    An accident that its holder did not see ends only so, while the holder goes on writing."""
    last: Lease | None = None
    """The newest sound record seen, also by an earlier process (from the file on the volume). No accident's."""

    @property
    def base(self) -> str:
        """The version that a write decided on this knowledge carries; "" makes the missing object anew."""
        return "" if self.missing else self.version


def sent(known: Knowledge, attempt: Attempt) -> Knowledge:
    """Before a request leaves: from now on it may have succeeded."""
    return msgspec.structs.replace(known, unanswered=(*known.unanswered, attempt))


def refused(known: Knowledge, nonce: str) -> Knowledge:
    """The server said no (409 and other definite answers): this attempt never happened."""
    left = tuple(attempt for attempt in known.unanswered if attempt.nonce != nonce)
    return msgspec.structs.replace(known, unanswered=left)


def observed(known: Knowledge, record: Lease, version: str, now: float) -> Knowledge:
    """A record was read at `now` (reply of a write, a read, or a watch event no older than the last one)."""
    trouble = accident(known, record)
    if trouble:
        return lost(known, trouble, version, now)
    last = known.record
    # A ttl that somebody edited under the same nonce is waited out from the edit on.
    same = last is not None and (last.nonce, last.epoch, last.ttl) == (record.nonce, record.epoch, record.ttl)
    mine = next((attempt for attempt in known.unanswered if attempt.nonce == record.nonce), None)
    held = mine or (known.held if known.held and known.held.nonce == record.nonce else None)
    if held is not None and held.kind in GIVES_UP:
        held = None
    on = held is not None and known.held is not None and known.held.epoch == record.epoch
    resumes = on and known.held is not None and known.held.pause and held is not None and not held.pause
    return Knowledge(
        record=record,
        version=version,
        first_seen=known.first_seen if same else now,
        promised=takeable_at(known) if last is not None and last.nonce == record.nonce else 0.0,
        held_from=known.held_from if on else held.t0 if held else 0.0,
        resumed=held.t0 if held is not None and resumes else known.resumed if on else 0.0,
        held=held,
        unanswered=tuple(a for a in known.unanswered if a.version == version),
        highest_epoch=record.epoch,
        before="" if not on or known.held is None else known.before if known.held is held else known.held.nonce,
        extension=known.extension if held and known.extension and known.extension.epoch == record.epoch else None,
        given=known.given,
        last=record if record.named or record.free else known.last,
    )


def accident(known: Knowledge, record: Lease) -> str:
    """Why this record cannot have followed the newest one by any member's write; "" when it can."""
    if record.epoch < known.highest_epoch:
        return f"the lock object's transitions went back from {known.highest_epoch} to {record.epoch}"
    if record.holder is None and not record.free:
        return NAMELESS
    if known.lost_since and record.epoch == known.highest_epoch:
        # What heals bears an epoch of its own: this is a copy, and others may have seen a newer one.
        return f"the lock object was lost, and is back under the old epoch {record.epoch}"
    last = known.last
    if last is not None and record.holder and last.epoch == record.epoch and record.serial < last.serial:
        return f"the lock object is an old copy: write {record.serial} of epoch {record.epoch}, after {last.serial}"
    return ""


def lost(known: Knowledge, trouble: str, version: str, now: float) -> Knowledge:
    """The lock object is missing (no version), malformed or older than what was seen.

    A confirmed lease stays its holder's until its own deadline, promises included: nobody can have taken it. Whoever
    makes the lock anew makes everybody wait for a whole ttl after that (decide/accident.py), and who has seen that
    promises nothing for the lease before it.
    """
    same = bool(known.lost_since) and (version or known.version, not version) == (known.version, known.missing)
    return msgspec.structs.replace(
        known, record=None, trouble=trouble, version=version or known.version, missing=not version,
        lost_since=known.lost_since or now, shown_since=known.shown_since if same else now,
    )  # fmt: skip


def dropped(known: Knowledge, why: str) -> Knowledge:
    """The own lease counts as another's from now on, whatever the object says."""
    return msgspec.structs.replace(known, record=None, held=None, extension=None, trouble=why)


def holds(known: Knowledge, now: float) -> bool:
    """Whether this member is the holder and its lease has not ended by its own clock."""
    return known.held is not None and now < expires(known)


def paused(known: Knowledge) -> bool:
    """Whether the own lease certainly records a pause: by a confirmed write, and by each that may have succeeded since.

    Nobody takes a paused lease by time or death, so it does not end, and the fence is disarmed. The write that ends the
    pause may have succeeded as soon as it is sent: from then on the lease ends as it did before.
    """
    if known.held is None or known.record is None or not (known.held.pause and known.record.pause):
        return False
    return all(attempt.pause and attempt.kind not in GIVES_UP for attempt in known.unanswered)


def expires(known: Knowledge) -> float:
    """When the own lease ends: the earliest of what the record, the confirmed and the unanswered attempts allow,
    or what a complete round of promises makes of it."""
    return math.inf if paused(known) else max(start + ttl for start, ttl in _spans(known))


def extended(known: Knowledge) -> bool:
    """Whether promises carry the own lease further than the last confirmed renewal does."""
    return known.held is not None and known.extension is not None and known.extension.began > known.held.t0


def renewed_at(known: Knowledge) -> float:
    """Since when the own lease runs: t0 of the confirmed renewal, or the beginning of the last complete round."""
    assert known.held is not None
    return known.extension.began if known.extension and extended(known) else known.held.t0


def _spans(known: Knowledge) -> list[tuple[float, float]]:
    """Start and length of what the own lease rests on."""
    assert known.held is not None
    ttl = shortest(known.held, known)
    more = [(known.extension.began, min(known.extension.ttl, ttl))] if known.extension else []
    return [(known.held.t0, ttl), *more]


def shortest(held: Attempt, known: Knowledge) -> float:
    """The smallest ttl that an observer may go by (S4)."""
    newest = known.record or known.last
    read = [newest.ttl] if newest else []
    return min([held.ttl, *read, *(attempt.ttl for attempt in known.unanswered)])


def deadline(known: Knowledge) -> float:
    """The fence's deadline: 0 unless this member holds the lease and gave nothing away, unanswered included (S4).

    Infinite in a pause: the fence is disarmed.
    """
    if known.held is None or any(a.kind in GIVES_UP for a in known.unanswered):
        return 0.0
    if paused(known):
        return math.inf
    return max(start + ttl - margin(ttl) for start, ttl in _spans(known))


def armed_until(known: Knowledge, given_up: float) -> float:
    """What the fence is told: `deadline`, and 0 until a write is confirmed that was sent after `given_up` (S4)."""
    if known.held is None or known.held.t0 < given_up:
        return 0.0
    return deadline(known)


def takeable_at(known: Knowledge) -> float:
    """When an observer without proof may take the lease it sees: t1 + the record's ttl, of all its readings, and not
    before its own promise ends.

    Never, while it records a pause: its holder's fence is disarmed (S1).
    """
    assert known.record is not None
    if known.record.pause:
        return math.inf
    return max(known.first_seen + known.record.ttl, known.promised, promised_away(known))


def promised_away(known: Knowledge) -> float:
    """Until when this member has promised its holder not to take the lease that it sees, or will see; 0 for not."""
    given, record = known.given, known.record
    return given.until if given is not None and (record is None or record.epoch == given.epoch) else 0.0
