"""When a copied logical slot of a standby is as good as the primary's (before PostgreSQL 17). Pure.

A logical slot needs the catalogs as they were: rows that its catalog_xmin still sees must never have been vacuumed. On
the primary its own slot holds vacuum back; for a standby's copy the standby's feedback does, through catalog_xmin of
the physical slot that it streams from. So at the first moment at which that feedback covers the copy, the primary's
own slot tells from where on everything is still there (`floor`); the copy is proved once it has come that far.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from pgherd.model.slots import SlotOrders
from pgherd.postgres.slot_plan import Found


class Proof(msgspec.Struct, frozen=True):
    """What is known of this standby's slots; kept in a file beside the data."""

    timeline: int = 0
    """Of the primary against which it was proved: another one may have vacuumed in between."""
    incarnation: str = ""
    floor: dict[str, int] = {}
    ready: tuple[str, ...] = ()
    made: tuple[str, ...] = ()
    """Slots that the product keeps here: dropped here when nobody wants them any more."""
    doubtful: tuple[str, ...] = ()
    """Logical slots that were there at a promotion without proof: dropped, never offered."""


def not_after(a: int, b: int) -> bool:
    """Transaction ids, modulo 2^32."""
    return (a - b) % 2**32 == 0 or (b - a) % 2**32 < 2**31


def copying(proof: Proof, names: Iterable[str], incarnation: str) -> Proof:
    """Before copies are put in place: ours, and no longer proved."""
    anew = set(names)
    return msgspec.structs.replace(
        proof, incarnation=incarnation, made=tuple(sorted({*proof.made, *anew})),
        floor={name: xid for name, xid in proof.floor.items() if name not in anew},
        ready=tuple(name for name in proof.ready if name not in anew),
    )  # fmt: skip


def owning(proof: Proof, orders: SlotOrders, there: frozenset[str]) -> Proof:
    """After a pass. A primary's undeclared slots are their users'; a standby's stay ours until they are dropped."""
    wanted = there & {slot.name for slot in orders.slots}
    if orders.primary:
        doubtful = there & set(proof.doubtful)
        return msgspec.structs.replace(proof, made=tuple(sorted(wanted)), doubtful=tuple(sorted(doubtful)))
    made = wanted | (there & set(proof.made))
    return msgspec.structs.replace(proof, made=tuple(sorted(made)), doubtful=())


def proved(
    proof: Proof, there: Mapping[str, Found], primary: Mapping[str, Found], own: str, names: frozenset[str],
    replayed: int,
) -> Proof:  # fmt: skip
    """After a look at both servers, the standby first. `own`: the slot that this standby streams from."""
    streamed = primary.get(own)
    feedback = streamed.catalog_xmin if streamed else None
    floor, ready = {}, []
    for name in sorted(names):
        copy, original = there.get(name), primary.get(name)
        if copy is None or copy.catalog_xmin is None or copy.lost or original is None or original.catalog_xmin is None:
            continue
        if feedback is None or not not_after(feedback, copy.catalog_xmin):
            continue
        floor[name] = proof.floor.get(name, original.catalog_xmin)
        if name in proof.ready or (not_after(floor[name], copy.catalog_xmin) and copy.confirmed <= replayed):
            ready.append(name)
    return msgspec.structs.replace(proof, floor=floor, ready=tuple(ready))
