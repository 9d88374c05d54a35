"""From the slots that are wanted and those that exist to the steps between, and what to say of each. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from pgherd.model.position import parse_lsn
from pgherd.model.slots import NATIVE, SlotOrders, SlotState, SlotType, Wanted


class Found(msgspec.Struct, frozen=True):
    """One row of pg_replication_slots."""

    name: str
    kind: SlotType
    database: str = ""
    plugin: str = ""
    active: bool = False
    restart: int = 0
    confirmed: int = 0
    xmin: int | None = None
    catalog_xmin: int | None = None
    status: str = "reserved"
    """wal_status: reserved, extended, unreserved, lost."""
    failover: bool = False
    synced: bool = False
    invalid: str = ""

    @property
    def position(self) -> int:
        return self.confirmed if self.kind == "logical" else self.restart

    @property
    def lost(self) -> bool:
        return self.status == "lost" or bool(self.invalid)


def found(row: Mapping[str, Any]) -> Found:
    """From the row as JSON: columns that a version lacks are simply not there."""
    return Found(
        name=row["slot_name"],
        kind=row["slot_type"],
        database=row.get("database") or "",
        plugin=row.get("plugin") or "",
        active=bool(row["active"]),
        restart=parse_lsn(row["restart_lsn"]) if row.get("restart_lsn") else 0,
        confirmed=parse_lsn(row["confirmed_flush_lsn"]) if row.get("confirmed_flush_lsn") else 0,
        xmin=_xid(row.get("xmin")),
        catalog_xmin=_xid(row.get("catalog_xmin")),
        status=row.get("wal_status") or ("lost" if row["slot_type"] == "logical" else "reserved"),
        failover=bool(row.get("failover")),
        synced=bool(row.get("synced")),
        invalid=row.get("invalidation_reason") or ("conflicting" if row.get("conflicting") else ""),
    )


def _xid(value: Any) -> int | None:
    return None if value is None else int(value)


class Create(msgspec.Struct, frozen=True):
    slot: Wanted


class Drop(msgspec.Struct, frozen=True):
    name: str


class Advance(msgspec.Struct, frozen=True):
    name: str
    database: str
    """Where it must be done; "" for a physical slot."""
    position: int


class Failover(msgspec.Struct, frozen=True):
    """Let PostgreSQL 17 and newer synchronise it."""

    name: str


Step = Create | Drop | Advance | Failover


def conforms(slot: Wanted, seen: Found) -> bool:
    """Whether what exists under the name is what was declared."""
    return (slot.kind, slot.database, slot.plugin) == (seen.kind, seen.database, seen.plugin)


def steps(
    orders: SlotOrders, there: Mapping[str, Found], made: frozenset[str], doubtful: frozenset[str], major: int
) -> list[Step]:
    """In order; creations of logical slots come last, since they wait for running transactions.

    `made`: what the product made or kept here; `doubtful`: logical slots that were promoted without proof.
    """
    wanted = {slot.name: slot for slot in orders.slots if not _ignored(orders, slot, there.get(slot.name))}
    planned: list[Step] = []
    for name, seen in sorted(there.items()):
        if not seen.active and _goes(orders, seen, wanted, made, doubtful, major):
            planned.append(Drop(name))
    gone = {step.name for step in planned if isinstance(step, Drop)}
    late: list[Step] = []
    for name, slot in sorted(wanted.items()):
        present = None if name in gone else there.get(name)
        if present is None and slot.kind == "physical":
            planned.append(Create(slot))
        elif present is None and orders.primary and not slot.known and name not in doubtful:
            late.append(Create(slot))
        elif present is not None and orders.primary and _unsynchronised(slot, present, major) and not present.active:
            late.append(Failover(name))
        elif present is not None and not orders.primary and _advances(slot, present, major):
            planned.append(Advance(name, slot.database, slot.position))
    return planned + late


def _ignored(orders: SlotOrders, slot: Wanted, seen: Found | None) -> bool:
    if seen is not None:
        return orders.ignores(seen.name, seen.kind, seen.database, seen.plugin)
    return orders.ignores(slot.name, slot.kind, slot.database, slot.plugin)


def _goes(
    orders: SlotOrders, seen: Found, wanted: Mapping[str, Wanted], made: frozenset[str], doubtful: frozenset[str],
    major: int,
) -> bool:  # fmt: skip
    """Whether an idle slot is dropped: it is ours and not wanted, or useless and made anew at once."""
    if orders.ignores(seen.name, seen.kind, seen.database, seen.plugin):
        return False
    member = seen.name in orders.members and seen.kind == "physical"
    if orders.primary:
        lost = member and seen.lost
        unproved = seen.kind == "logical" and seen.name in doubtful
        return unproved or lost or (member and seen.name not in wanted)
    # On a standby: what a former primary left. Its xmin would hold vacuum up in the whole cluster through the feedback.
    if seen.kind == "physical":
        ours = seen.name in made or member
        return ours and (seen.name not in wanted or seen.lost or seen.xmin is not None or seen.catalog_xmin is not None)
    if major >= NATIVE:
        # A slot of its time as a primary stops PostgreSQL's own synchronisation of all the others.
        return not seen.synced and (seen.failover or seen.name in wanted)
    return seen.name in made and seen.name not in wanted


def _advances(slot: Wanted, seen: Found, major: int) -> bool:
    if seen.active or seen.lost or not conforms(slot, seen) or slot.position <= seen.position:
        return False
    return seen.restart > 0 and (slot.kind == "physical" or major < NATIVE)


def _unsynchronised(slot: Wanted, seen: Found, major: int) -> bool:
    return major >= NATIVE and slot.kind == "logical" and conforms(slot, seen) and not (seen.failover or seen.lost)


def states(
    orders: SlotOrders, there: Mapping[str, Found], ready: frozenset[str], waiting: Mapping[str, str],
    errors: Mapping[str, str], major: int,
) -> dict[str, SlotState]:  # fmt: skip
    """Of every slot that is wanted and not ignored; `waiting`: why a logical slot is not here yet."""
    result = {}
    for slot in orders.slots:
        seen = there.get(slot.name)
        if not _ignored(orders, slot, seen):
            result[slot.name] = _state(orders, slot, seen, ready, waiting, errors, major)
    return result


def _state(
    orders: SlotOrders, slot: Wanted, seen: Found | None, ready: frozenset[str], waiting: Mapping[str, str],
    errors: Mapping[str, str], major: int,
) -> SlotState:  # fmt: skip
    error = errors.get(slot.name, "")
    if seen is None:
        if error or slot.kind == "physical":
            return SlotState(slot.kind, "refused", 0, error or "it could not be created")
        if orders.primary:
            return SlotState(slot.kind, "lost", 0, LOST)
        return SlotState(slot.kind, "unready", 0, waiting.get(slot.name) or "it is not on this standby yet")
    if not conforms(slot, seen):
        text = f"exists as {seen.kind} {seen.database} {seen.plugin}".rstrip() + "; what was declared is not made"
        return SlotState(slot.kind, "refused", seen.position, text)
    if seen.lost:
        return SlotState(slot.kind, "lost", seen.position, seen.invalid or "the WAL that it needs is gone")
    if not orders.primary and slot.kind == "logical" and not _proved(seen, ready, major):
        text = waiting.get(slot.name) or "not proved yet: it would be dropped by a promotion"
        return SlotState(slot.kind, "unready", seen.position, text)
    if orders.primary and _unsynchronised(slot, seen, major):
        text = error or "made without failover: it becomes a failover slot as soon as no client uses it"
        return SlotState(slot.kind, "unready", seen.position, text)
    if error:
        return SlotState(slot.kind, "behind", seen.position, error)
    if seen.status in ("extended", "unreserved"):
        return SlotState(slot.kind, "behind", seen.position, "it holds more WAL than max_wal_size")
    return SlotState(slot.kind, "kept", seen.position)


LOST = (
    "the cluster had it and this primary does not: its consumer may have missed changes. Create it by hand, or take "
    "its declaration back and declare it again"
)


def _proved(seen: Found, ready: frozenset[str], major: int) -> bool:
    return seen.synced if major >= NATIVE else seen.name in ready
