"""Every failover leaves a receipt (ha-protocol §7): an entry in the annotation `history`, and one JSON log line.

A receipt begins with a confirmed take and is complete when the new primary's address is published. What an
agent had begun is kept in a file beside the container's, so that its restart in between loses nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from pgherd.decide.election import opening
from pgherd.decide.forced import Opening
from pgherd.kubernetes.store import ConfigStore, Conflict, StoreError
from pgherd.model.actions import Loser, Reason, WriteLease
from pgherd.model.knowledge import WriteKind, holds
from pgherd.model.lease import Lease
from pgherd.model.position import Position, format_lsn
from pgherd.model.settings import Identity
from pgherd.model.view import View
from pgherd.runtime.log import Changing, Log, wall
from pgherd.runtime.state import State

KEPT = 100
"""Receipts kept in the annotation."""
WRITE_LIMIT = 5.0
RETRY = 1.0


class End(msgspec.Struct, frozen=True, omit_defaults=True):
    member: str
    timeline: int
    lsn: str
    """As PostgreSQL writes LSNs."""
    writable: int = 0
    """Of the one that was left: the last timeline on which clients were sent to a primary, if it never got to its own.
    What was acknowledged from there on, beyond the taker's LSN, is gone."""


class Receipt(msgspec.Struct, frozen=True, rename={"origin": "from", "target": "to"}):
    """One change of the holder. Instants are ISO 8601 by this member's wall clock."""

    epoch: int
    origin: End | None
    target: End
    reason: Reason
    detected: str
    lease: str
    promoted: str = ""
    first_write: str = ""
    at_risk_bytes: int = 0
    losers: tuple[Loser, ...] = ()
    changes: Mapping[str, int] = {}
    """How many of each kind (`kind`) the cluster has seen, this one included: the history forgets, this does not."""


PLANNED = frozenset({"handover", "released"})
"""Reasons of a take that its holder had agreed to."""


def kind(receipt: Receipt) -> str:
    """switchover: the holder gave the lease up; in_place: it was the same member; else a failover."""
    if receipt.origin is not None and receipt.target is not None and receipt.origin.member == receipt.target.member:
        return "in_place"
    return "switchover" if receipt.reason.code in PLANNED else "failover"


def counted(receipt: Receipt, last: Any) -> Receipt:
    """With the counts of the receipt before it, and itself."""
    before = last.get("changes") if isinstance(last, dict) else None
    changes = {name: count for name, count in before.items() if type(count) is int} if isinstance(before, dict) else {}
    own = kind(receipt)
    return msgspec.structs.replace(receipt, changes={**changes, own: changes.get(own, 0) + 1})


def append(history: str | None, receipt: Receipt) -> str | None:
    """The annotation with the receipt at its end; None when it is there already. An unreadable one is begun anew."""
    try:
        entries = msgspec.json.decode(history, type=list[msgspec.Raw]) if history else []
        epochs = [msgspec.json.decode(entry).get("epoch") for entry in entries]
    except (msgspec.MsgspecError, AttributeError):
        entries, epochs = [], []
    if receipt.epoch in epochs:
        return None
    receipt = counted(receipt, msgspec.json.decode(entries[-1]) if entries else None)
    entries.append(msgspec.Raw(msgspec.json.encode(receipt)))
    return msgspec.json.encode(entries[-KEPT:]).decode()


class Receipts:
    def __init__(self, state: State, identity: Identity, folder: Path, log: Log) -> None:
        self._state, self._member, self._log = state, identity.member, log
        self._path = folder / "receipt"
        self._detected: tuple[int, str] = (-1, "")
        self._open: Receipt | None = self._load()
        self.complete: asyncio.Queue[Receipt] = asyncio.Queue()

    def decided(self, view: View, now: float) -> None:
        """Notes the first decision that saw the old lease ended, or proof that it may be taken."""
        record = view.knowledge.record
        if record is None or self._detected[0] == record.epoch or holds(view.knowledge, now):
            return
        if isinstance(opening(view, now), Opening):
            self._detected = (record.epoch, wall())

    def written(self, action: WriteLease, before: Lease, record: Lease, reason: Reason) -> None:
        """A confirmed write: a take opens a receipt, the first published address completes it.

        A renewal is of the same tenure, also under another epoch: the lock was lost and made again in between.
        """
        if action.kind is WriteKind.TAKE:
            self._take(action, before, record, reason)
        elif self._open is not None and action.kind is WriteKind.RENEW and record.address is not None:
            follows = record.holder is not None and record.holder.standby
            receipt = self._open if follows else msgspec.structs.replace(self._open, first_write=wall())
            self._keep(None)
            what = "the standby leader follows" if follows else "the new primary is writable"
            self._log.info("receipt", f"{what} and is published", receipt=receipt)
            self.complete.put_nowait(receipt)
        elif self._open is not None and action.kind is not WriteKind.RENEW:
            self._keep(None)

    def _take(self, action: WriteLease, before: Lease, record: Lease, reason: Reason) -> None:
        now = wall()
        detected = self._detected[1] if self._detected[0] == before.epoch else now
        if before.leader is None:
            self._keep(None)
            return  # a new cluster: nothing failed
        timeline, writable = (before.holder.timeline, before.holder.writable) if before.holder else (0, 0)
        writable = writable if writable < timeline else 0
        self._keep(
            Receipt(
                epoch=record.epoch,
                origin=End(before.leader, timeline, format_lsn(before.optime), writable),
                target=End(self._member, record.holder.timeline if record.holder else 0, self._position()),
                reason=reason,
                detected=detected,
                lease=now,
                at_risk_bytes=action.at_risk,
                losers=action.losers,
            )
        )

    def _position(self) -> str:
        server = self._state.server
        return format_lsn(server.position.lsn) if server and server.position else "0/0"

    def writable(self, position: Position | None) -> None:
        """PostgreSQL accepts writes: after a promotion, whose timeline began at `position`, or (None) the same primary
        again, in place."""
        if self._open is None:
            return
        target = self._open.target
        if position is not None:
            target = End(self._member, position.timeline, format_lsn(position.lsn))
        self._keep(msgspec.structs.replace(self._open, promoted=wall(), target=target))

    def _keep(self, receipt: Receipt | None) -> None:
        self._open = receipt
        try:
            if receipt is None:
                self._path.unlink(missing_ok=True)
            else:
                self._path.write_bytes(msgspec.json.encode(receipt))
        except OSError as error:
            self._log.warning("receipt-file", f"cannot keep the receipt beside the container: {error}")

    def _load(self) -> Receipt | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Receipt)
        except (OSError, msgspec.MsgspecError):
            return None


async def write_receipts(receipts: Receipts, state: State, store: ConfigStore, log: Log) -> None:
    """Lives with the agent: appends each complete receipt by compare-and-swap, however long the API is away."""
    trouble = Changing(log, "warning", "receipt-write")
    while True:
        receipt = await receipts.complete.get()
        await _append(receipt, state, store, trouble)


async def _append(receipt: Receipt, state: State, store: ConfigStore, trouble: Changing) -> None:
    while True:
        try:
            seen = await store.read(WRITE_LIMIT)
            history = append(seen.history, receipt)
            if history is not None:
                state.saw_config(await store.write({"history": history}, seen.version, WRITE_LIMIT))
            return trouble("")
        except Conflict:
            pass
        except StoreError as error:
            trouble(f"the receipt of epoch {receipt.epoch} is not in the history yet: {error}")
        await asyncio.sleep(RETRY)
