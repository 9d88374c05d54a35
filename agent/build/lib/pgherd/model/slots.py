"""Replication slots as values: a member's slot name, what the configuration declares, what is ordered, what was seen.

One rule for names that primary, replica and lease share; declared (permanent) slots in Patroni's shape.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

LONGEST = 63
"""PostgreSQL's NAMEDATALEN - 1: slot names are identifiers."""
NATIVE = 17
"""The first major that synchronises logical slots to standbys by itself."""

SlotName = Annotated[str, msgspec.Meta(pattern="^[a-z0-9_]{1,63}$")]
SlotType = Literal["physical", "logical"]


def slot_name(member: str) -> str:
    """Slot that `member` streams from: lower case, everything outside [a-z0-9_] becomes "_", at most 63 characters."""
    return re.sub(r"[^a-z0-9_]", "_", member.lower())[:LONGEST]


class Permanent(msgspec.Struct, frozen=True):
    """One entry of `slots`. Without a type it is logical when it names a database and a plugin, as Patroni reads it."""

    type: SlotType | None = None
    database: str = ""
    plugin: str = ""
    cluster_type: Literal["primary", "standby"] | None = None
    """Kept only in a cluster of this type; in both without it."""

    def __post_init__(self) -> None:
        if self.type == "logical" and not (self.database and self.plugin):
            raise ValueError("a logical slot needs database and plugin")
        if self.type == "physical" and (self.database or self.plugin):
            raise ValueError("a physical slot has neither database nor plugin")
        if bool(self.database) != bool(self.plugin):
            raise ValueError("a logical slot needs both database and plugin")

    @property
    def kind(self) -> SlotType:
        return self.type or ("logical" if self.database else "physical")


class Matcher(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of `ignore_slots`: a slot that has all the values named here is never touched."""

    name: str | None = None
    type: SlotType | None = None
    database: str | None = None
    plugin: str | None = None

    def __post_init__(self) -> None:
        if not any((self.name, self.type, self.database, self.plugin)):
            raise ValueError("must name at least one of name, type, database, plugin")

    def matches(self, name: str, kind: str, database: str, plugin: str) -> bool:
        pairs = ((self.name, name), (self.type, kind), (self.database, database), (self.plugin, plugin))
        return all(wanted is None or wanted == value for wanted, value in pairs)


class Wanted(msgspec.Struct, frozen=True):
    """A slot that must exist on this server."""

    name: str
    kind: SlotType = "physical"
    database: str = ""
    plugin: str = ""
    position: int = 0
    """Bytes: where a standby's slot is to be advanced to; 0 when nothing is known."""
    known: bool = False
    """A logical slot that the lease names: a primary that lacks it lost it, and making it anew would hide that."""


class SlotOrders(msgspec.Struct, frozen=True):
    """What the slots of one running server must be like."""

    primary: bool
    timeline: int
    slots: tuple[Wanted, ...] = ()
    own: str = ""
    """The slot that this member streams from, on its primary."""
    members: tuple[str, ...] = ()
    """Members' slots, wanted or not: those that are not wanted are ours to drop."""
    ignore: tuple[Matcher, ...] = ()

    @property
    def shape(self) -> tuple[bool, int, frozenset[str]]:
        """What must be acted on at once when it changes; positions can wait for the next turn."""
        return self.primary, self.timeline, frozenset(slot.name for slot in self.slots)

    def ignores(self, name: str, kind: str, database: str, plugin: str) -> bool:
        return any(matcher.matches(name, kind, database, plugin) for matcher in self.ignore)


class SlotState(msgspec.Struct, frozen=True):
    """How one wanted slot is. `state`: kept, behind, lost, unready, refused."""

    kind: SlotType
    state: str
    position: int = 0
    text: str = ""
    """What a person should know; empty when all is well."""


class SlotsSeen(msgspec.Struct, frozen=True):
    """What one pass found and left."""

    primary: bool = False
    states: Mapping[str, SlotState] = {}
    found: tuple[str, ...] = ()
    """Names of all that were there."""
    waiting: tuple[str, ...] = ()
    """Declared logical slots that this standby gets only by a start (before PostgreSQL 17)."""

    @property
    def positions(self) -> dict[str, int]:
        return {name: slot.position for name, slot in self.states.items() if slot.position}

    @property
    def troubles(self) -> dict[str, str]:
        """By slot: what is not as it should be."""
        return {name: f"{slot.state}: {slot.text}" for name, slot in self.states.items() if slot.state != "kept"}
