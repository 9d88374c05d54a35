"""Replication slots of the own server: made, advanced, dropped and proved as ordered.

Lives as long as the agent. What must survive it (which slots are ours, which copies are proved) is in a file on the
volume; slots themselves live in the data directory, and no clone or rewind brings them along.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import psycopg

from pgherd.model.position import parse_lsn
from pgherd.model.slots import NATIVE, Permanent, SlotOrders, SlotsSeen
from pgherd.postgres import incarnation, remote, sessions, slot_copy, slot_plan, slot_proof
from pgherd.postgres.errors import PostgresError
from pgherd.postgres.layout import Layout
from pgherd.postgres.sessions import Connection, bounded
from pgherd.postgres.slot_plan import Advance, Create, Drop, Failover, Found, Step
from pgherd.postgres.slot_proof import Proof

QUERY = 5.0
CREATE = 10.0
"""Seconds for a logical slot, which waits for running transactions; tried again at the next pass."""
COPY = 5.0
FILE = "slots.json"
SQL = """SELECT to_jsonb(slot) AS slot FROM pg_replication_slots AS slot WHERE NOT temporary"""
CREATE_PHYSICAL = b"SELECT pg_create_physical_replication_slot(%s, true)"
ADVANCE = b"SELECT pg_replication_slot_advance(%s, '0/0'::pg_lsn + %s::numeric)"
REPLAYED = "SELECT pg_last_wal_replay_lsn()::text AS replayed"


class Slots:
    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._major = layout.settings.version
        self._refused: dict[str, str] = {}
        """Logical slots that the last start could not copy, and why: no further restart is made for them."""
        self._doubtful: frozenset[str] = frozenset()
        """What was not proved at this agent's last promotion, should the file not have taken it."""

    # The file

    def _read(self) -> Proof:
        try:
            proof = msgspec.json.decode((self._layout.state / FILE).read_bytes(), type=Proof)
        except (OSError, msgspec.MsgspecError):
            return Proof()
        return proof if proof.incarnation == incarnation.read(self._layout.data) else Proof()

    async def _write(self, proof: Proof, before: Proof) -> None:
        if proof != before:
            text = msgspec.json.encode(proof).decode()
            await asyncio.to_thread(incarnation.write_durably, self._layout.state / FILE, text)

    # A pass

    async def keep(self, connection: Connection, orders: SlotOrders, source: str | None) -> SlotsSeen:
        """`connection` to database postgres; `source`: conninfo of the primary, for a standby's logical slots."""
        before = self._read()
        proof = msgspec.structs.replace(before, incarnation=incarnation.read(self._layout.data) or "")
        if proof.timeline != orders.timeline:
            proof = msgspec.structs.replace(proof, timeline=orders.timeline, floor={}, ready=())
        there = await look(connection)
        logical = frozenset(slot.name for slot in orders.slots if slot.kind == "logical")
        primary, errors = await self._of_primary(orders, logical, source)
        orders = aimed(orders, primary)
        made, doubtful = frozenset(proof.made), frozenset(proof.doubtful)
        doubtful |= self._doubtful if orders.primary else frozenset()
        errors |= await self._take(connection, slot_plan.steps(orders, there, made, doubtful, self._major))
        there = await look(connection)
        self._doubtful &= there.keys()
        if primary:
            row = await sessions.query(connection, REPLAYED)
            at = parse_lsn(row["replayed"]) if row["replayed"] else 0
            proof = slot_proof.proved(proof, there, primary, orders.own, logical, at)
        await self._write(slot_proof.owning(proof, orders, frozenset(there)), before)
        return self._seen(orders, there, primary, frozenset(proof.ready), errors)

    def _seen(
        self, orders: SlotOrders, there: Mapping[str, Found], primary: Mapping[str, Found], ready: frozenset[str],
        errors: Mapping[str, str],
    ) -> SlotsSeen:  # fmt: skip
        waiting = self._waiting(orders, there, primary)
        why = {**waiting, **self._refused}
        return SlotsSeen(
            primary=orders.primary,
            states=slot_plan.states(orders, there, ready, why, errors, self._major),
            found=tuple(sorted(there)),
            waiting=tuple(sorted(waiting.keys() - self._refused.keys())),
        )

    async def _of_primary(
        self, orders: SlotOrders, logical: frozenset[str], source: str | None
    ) -> tuple[dict[str, Found], dict[str, str]]:
        if orders.primary or not logical or source is None or self._major >= NATIVE:
            return {}, {}
        try:
            return await bounded(look_at(source), QUERY), {}
        except (TimeoutError, psycopg.Error, PostgresError) as error:
            return {}, dict.fromkeys(logical, f"the primary does not tell its slots: {error}")

    def _waiting(self, orders: SlotOrders, there: Mapping[str, Found], primary: Mapping[str, Found]) -> dict[str, str]:
        """Declared logical slots that the primary has and this standby can take over by a start."""
        found = {}
        for slot in orders.slots:
            original = primary.get(slot.name)
            if slot.kind == "physical" or slot.name in there or original is None or original.lost:
                continue
            if slot_plan.conforms(slot, original) and slot_copy.has_wal(self._layout, original.restart):
                found[slot.name] = "waits for a restart of this standby: before PostgreSQL 17 slots are read at a start"
        return found

    async def _take(self, connection: Connection, planned: Iterable[Step]) -> dict[str, str]:
        """Each step by itself; what failed, by slot."""
        errors = {}
        for step in planned:
            name = step.slot.name if isinstance(step, Create) else step.name
            try:
                await self._step(connection, step)
            except (TimeoutError, psycopg.Error, OSError) as error:
                errors[name] = str(error).strip() or type(error).__name__
                if connection.closed:
                    raise
        return errors

    async def _step(self, connection: Connection, step: Step) -> None:
        match step:
            case Create(slot=slot) if slot.kind == "physical":
                await bounded(connection.execute(CREATE_PHYSICAL, (slot.name,)), QUERY)
            case Create(slot=slot):
                more = ", failover => true" if self._major >= NATIVE else ""
                sql = f"SELECT pg_create_logical_replication_slot(%s, %s, false{more})"
                await self._inside(slot.database, sql.encode(), (slot.name, slot.plugin), CREATE)
            case Drop(name=name):
                await bounded(connection.execute("SELECT pg_drop_replication_slot(%s)", (name,)), QUERY)
            case Advance(name=name, database=database, position=position):
                if database:
                    await self._inside(database, ADVANCE, (name, position), CREATE)
                else:
                    await bounded(connection.execute(ADVANCE, (name, position)), QUERY)
            case Failover(name=name):
                await self._failover(name)

    async def _inside(self, database: str, sql: bytes, parameters: tuple[Any, ...], limit: float) -> None:
        """A logical slot is used from its own database."""
        connection = await bounded(sessions.connect(self._layout, database=database), QUERY)
        try:
            await bounded(connection.execute(sql, parameters), limit)
        finally:
            await connection.close()

    async def _failover(self, name: str) -> None:
        """There is no SQL function for it, only the replication protocol's command."""
        connection = await bounded(sessions.connect(self._layout, replication="database"), QUERY)
        try:
            await bounded(connection.execute(f"ALTER_REPLICATION_SLOT {name} ( FAILOVER true )".encode()), QUERY)
        finally:
            await connection.close()

    # Around starts and promotions

    async def before_start(self, source: str | None, declared: Mapping[str, Permanent], room: int) -> None:
        """Take declared logical slots over from the primary, as files: the server that starts now reads them.

        A copy that is proved stays. Nothing that fails here keeps a standby from starting: it lacks the slot then,
        and says so. `room`: max_replication_slots, above which a server does not start at all.
        """
        self._refused = {}
        if source is None or not declared or self._major >= NATIVE:
            return
        proof = self._read()
        wanted = {name: slot for name, slot in declared.items() if name not in proof.ready}
        if not wanted:
            return
        # First: a copy that is not known to be one would be promoted without proof.
        await self._write(slot_proof.copying(proof, wanted, incarnation.read(self._layout.data) or ""), proof)
        try:
            self._refused = await bounded(slot_copy.copy(self._layout, source, wanted, room), COPY)
        except (TimeoutError, psycopg.Error, PostgresError, OSError) as error:
            self._refused = dict.fromkeys(wanted, f"could not be taken over: {error}")

    async def before_promotion(self, connection: Connection, timeline: int) -> None:
        """A copy without proof is dropped before anybody can read from it: its consumer could miss changes.

        What cannot be dropped now is remembered, and dropped on the primary.
        """
        if self._major >= NATIVE:
            return
        proof = self._read()
        ready = frozenset(proof.ready) if proof.timeline == timeline else frozenset()
        self._doubtful = frozenset(proof.made) - ready
        try:
            there = await look(connection)
            copies = [name for name in sorted(self._doubtful) if name in there and there[name].kind == "logical"]
            if copies:
                await self._write(msgspec.structs.replace(proof, doubtful=tuple(copies)), proof)
                await self._take(connection, [Drop(name) for name in copies])
        except (TimeoutError, psycopg.Error, OSError):
            pass  # the promotion says what is wrong, if it fails, too


async def look(connection: Connection) -> dict[str, Found]:
    cursor = await bounded(connection.execute(SQL), QUERY)
    rows = [slot_plan.found(row["slot"]) for row in await cursor.fetchall()]
    return {slot.name: slot for slot in rows}


async def look_at(conninfo: str) -> dict[str, Found]:
    connection = await remote.connect(conninfo)
    try:
        return await look(connection)
    finally:
        await connection.close()


def aimed(orders: SlotOrders, primary: Mapping[str, Found]) -> SlotOrders:
    """Logical slots advance to where the primary's are now: nearer than what the lease last said."""
    slots = tuple(
        msgspec.structs.replace(slot, position=primary[slot.name].confirmed)
        if slot.kind == "logical" and slot.name in primary
        else slot
        for slot in orders.slots
    )
    return msgspec.structs.replace(orders, slots=slots)
