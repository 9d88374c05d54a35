"""The lease: the record in the lock object that says who may be primary.

Text in the annotations of Endpoints `<cluster>-ha` (names as Patroni writes them, so that
people and tools read what they know); a value here. `epoch` is the annotation `transitions`.
Times inside the record are for people and are never compared across machines: all arithmetic
runs on each member's own boot-time clock (see model/knowledge.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from pgherd.model.synchronous import Synchronous

LONGEST = 86400.0
"""Seconds: no sensible ttl is longer, and a slip of the hand must not lock everybody out for years."""


class Holder(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """Whose own write made the lease: identity of the container and of the write itself."""

    uid: str
    """metadata.uid of the pod."""
    container: str
    """containerID of `database` as the kubelet shows it, or "" while it is not certain (proof 2 is void then)."""
    nonce: str
    """Fresh for every write: a record is one's own only by this."""
    timeline: int
    """The timeline that this holder is on or is about to create."""
    writable: int
    """The newest timeline that was published as writable; smaller than `timeline` while promoting."""
    pause: bool = False
    """Its maker recorded a pause: who removes only the annotation `pause`, which says the same to people, ends none."""
    standby: bool = False
    """A standby leader: its PostgreSQL follows a remote primary and accepts no writes. Before a promotion this ends."""
    highest: int = 0
    """At least as high as each timeline number before a standby leader followed a line with smaller ones: a number is
    never used again."""
    serial: int = 0
    """Writes before this one in the lease's life: tells an old copy from the newest record of one epoch."""


class Candidate(msgspec.Struct, frozen=True, order=True):
    """A member that may take the lease, with the identity of its data: an emptied volume is another candidate."""

    member: str
    incarnation: str


class Handover(msgspec.Struct, frozen=True):
    """A lease given to one member by name: proof 1 for that member, its data and this epoch only."""

    to: str
    incarnation: str
    epoch: int
    lsn: int
    """Where the old primary shut down (bytes): the target must have it all before it promotes."""


class Lease(msgspec.Struct, frozen=True):
    """One version of the record. `None` for `leader` and `holder` only before the first take."""

    leader: str | None
    epoch: int
    ttl: float
    """Seconds; observers use this value, not their own configuration."""
    released: int | None = None
    """The epoch that its holder gave up. Free means exactly `released == epoch`."""
    acquire_time: str = ""
    renew_time: str = ""
    optime: int = 0
    holder: Holder | None = None
    candidates: tuple[Candidate, ...] = ()
    handover: Handover | None = None
    slots: Mapping[str, int] = {}
    """Slot name -> position (bytes) of every slot that the holder keeps: members' and declared ones."""
    retain_slots: tuple[str, ...] = ()
    """Members' slots that are kept, also for `member_slots_ttl` after the member left."""
    pause: bool = False
    """Recorded by the holder: its fence is disarmed, and time or death open this lease to nobody."""
    sync: Synchronous | None = None
    """Which members have every acknowledged commit (S3); None while the mode is off."""
    address: str | None = None
    """Pod IP that Service `<cluster>-ha` routes to; None while nobody is known to be writable."""

    @property
    def free(self) -> bool:
        return self.released == self.epoch

    @property
    def nonce(self) -> str:
        return self.holder.nonce if self.holder else ""

    @property
    def serial(self) -> int:
        return self.holder.serial if self.holder else 0

    @property
    def named(self) -> bool:
        """Whether it says whose it is. One that does not, and is not free, is an accident."""
        return self.leader is not None and self.holder is not None


class MalformedLease(ValueError):
    """The annotations are not a lease that pgherd wrote: an accident that a person must look at."""


def _json(text: str | None, kind: Any, field: str) -> Any:
    if not text:
        return None
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError as error:
        raise MalformedLease(f"annotation {field}={text!r}: {error}") from None


def from_annotations(annotations: Mapping[str, str], address: str | None) -> Lease:
    """Read the record. Raises MalformedLease naming the annotation and its value."""
    try:
        epoch = int(annotations["transitions"])
        ttl = float(annotations["ttl"])
        released = int(annotations["released"]) if annotations.get("released") else None
        optime = int(annotations.get("optime") or 0)
    except KeyError as error:
        raise MalformedLease(f"annotation {error.args[0]} is missing") from None
    except ValueError as error:
        raise MalformedLease(f"annotations transitions, ttl, released, optime must be numbers: {error}") from None
    if not 0 < ttl <= LONGEST:
        raise MalformedLease(f"annotation ttl={annotations['ttl']!r}: must be more than 0 and at most {LONGEST:g} s")
    holder: Holder | None = _json(annotations.get("holder"), Holder, "holder")
    return Lease(
        leader=annotations.get("leader") or None,
        epoch=epoch,
        ttl=ttl,
        released=released,
        acquire_time=annotations.get("acquireTime", ""),
        renew_time=annotations.get("renewTime", ""),
        optime=optime,
        holder=holder,
        candidates=_json(annotations.get("candidates"), tuple[Candidate, ...], "candidates") or (),
        handover=_json(annotations.get("handover"), Handover, "handover"),
        slots=_json(annotations.get("slots"), dict[str, int], "slots") or {},
        retain_slots=tuple(
            _json(annotations.get("retain_slots"), tuple[str, ...] | dict[str, int], "retain_slots") or ()
        ),
        pause=annotations.get("pause") == "true" or (holder is not None and holder.pause),
        sync=_json(annotations.get("sync"), Synchronous, "sync"),
        address=address,
    )


def to_annotations(lease: Lease) -> dict[str, str | None]:
    """Every annotation of the record; None means "remove" (merge-patch semantics)."""

    def packed(value: Any) -> str | None:
        return msgspec.json.encode(value).decode() if value else None

    return {
        "leader": lease.leader,
        "acquireTime": lease.acquire_time or None,
        "renewTime": lease.renew_time or None,
        "ttl": f"{lease.ttl:g}",
        "transitions": str(lease.epoch),
        "released": None if lease.released is None else str(lease.released),
        "optime": str(lease.optime),
        "holder": packed(lease.holder),
        "candidates": packed(lease.candidates),
        "handover": packed(lease.handover),
        "slots": msgspec.json.encode(lease.slots).decode(),
        "retain_slots": msgspec.json.encode(lease.retain_slots).decode(),
        "pause": "true" if lease.pause else None,
        "sync": packed(lease.sync),
    }
