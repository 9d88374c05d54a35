"""Logical slots of the primary as files in a stopped standby's data directory (before PostgreSQL 17).

A running standby of these versions cannot make a logical slot; a starting one reads what is in pg_replslot. With the
slot comes the snapshot that was serialised at its restart_lsn, if there is one: without it decoding could not know
which transactions ran there, and would leave out those that commit later (PostgreSQL 17 fixed the same in its own
synchronisation). A slot without such a file becomes consistent by the WAL alone, on the standby as on the primary.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path

import msgspec

from pgherd.model.position import parse_lsn
from pgherd.model.slots import Permanent
from pgherd.postgres import incarnation, remote
from pgherd.postgres.layout import Layout
from pgherd.postgres.sessions import Connection, query

MAGIC = 0x01051CA1
"""src/backend/replication/slot.c: SLOT_MAGIC, then checksum, version, length; then name, database, persistency, xmin,
catalog_xmin, restart_lsn, invalidation, confirmed_flush. The same offsets in PostgreSQL 14, 15 and 16."""
NAME, RESTART, CONFIRMED = slice(16, 80), 96, 112
SEGMENT = re.compile(r"[0-9A-F]{24}")
TRIES = 3

SQL = """SELECT slot_type, database, plugin, restart_lsn::text AS restart, pg_is_in_recovery() AS standby,
       pg_read_binary_file('pg_replslot/' || slot_name || '/state') AS state
  FROM pg_replication_slots WHERE slot_name = %s AND NOT temporary
UNION ALL SELECT NULL, NULL, NULL, NULL, pg_is_in_recovery(), NULL LIMIT 1"""
FILE = "SELECT pg_read_binary_file(%s, 0, 1000000000, true) AS file"


class Unusable(Exception):
    """This slot cannot be taken over now; the text says why."""


class State(msgspec.Struct, frozen=True):
    """The primary's file, and the positions in it: those of its last checkpoint or later."""

    data: bytes
    restart: int
    confirmed: int
    snapshot: bytes | None = None

    @property
    def snapshot_name(self) -> str:
        return f"{self.restart >> 32:X}-{self.restart & 0xFFFFFFFF:X}.snap"


def read_state(name: str, data: bytes) -> State:
    """Raises Unusable when it is not the file of this slot in the layout that is known."""
    if len(data) < CONFIRMED + 8 or struct.unpack_from("<I", data)[0] != MAGIC:
        raise Unusable("its state file has an unknown layout")
    if data[NAME].rstrip(b"\0").decode(errors="replace") != name:
        raise Unusable("its state file is another slot's")
    restart, confirmed = struct.unpack_from("<Q", data, RESTART)[0], struct.unpack_from("<Q", data, CONFIRMED)[0]
    if not 0 < restart <= confirmed:
        raise Unusable("its state file names no position yet")
    return State(data, restart, confirmed)


async def copy(layout: Layout, source: str, wanted: Mapping[str, Permanent], room: int) -> dict[str, str]:
    """Puts what can be had in place; why others could not. The server must be stopped and the volume locked."""
    refused = {}
    connection = await remote.connect(source)
    try:
        for name, slot in sorted(wanted.items()):
            try:
                state = await _fetch(connection, name, slot)
                if state is None:
                    continue
                if not has_wal(layout, state.restart):
                    raise Unusable("this standby lacks the WAL from its restart_lsn on: its consumer must come further")
                there = {entry.name for entry in (layout.data / "pg_replslot").iterdir()} - {name}
                if len(there) >= room:
                    raise Unusable(f"max_replication_slots={room} are in use")
                await asyncio.to_thread(put, layout, name, state)
            except Unusable as error:
                refused[name] = f"could not be taken over: {error}"
    finally:
        await connection.close()
    return refused


async def _fetch(connection: Connection, name: str, slot: Permanent) -> State | None:
    """State and snapshot of one moment; None while the primary has no such slot."""
    for _ in range(TRIES):
        row = await query(connection, SQL, (name,))
        if row["standby"]:
            raise Unusable("the source is no primary")
        if row["state"] is None:
            return None
        if (row["slot_type"], row["database"], row["plugin"]) != ("logical", slot.database, slot.plugin):
            raise Unusable("the primary's slot is not what was declared")
        state = read_state(name, bytes(row["state"]))
        if row["restart"] is None or state.restart > parse_lsn(row["restart"]):
            raise Unusable("its state file does not fit what the primary says of it")
        file = (await query(connection, FILE, (f"pg_logical/snapshots/{state.snapshot_name}",)))["file"]
        again = await query(connection, SQL, (name,))
        if again["state"] is not None and bytes(again["state"]) == state.data:
            return msgspec.structs.replace(state, snapshot=bytes(file) if file is not None else None)
    raise Unusable("it changed while it was read")


def has_wal(layout: Layout, position: int) -> bool:
    """Whether pg_wal reaches back to `position`: it has no gaps, so the oldest segment tells."""
    try:
        segments = [entry for entry in os.scandir(layout.wal) if SEGMENT.fullmatch(entry.name)]
        size = max((entry.stat().st_size for entry in segments), default=0)
    except OSError:
        return False
    if not size:
        return False
    per_log = 2**32 // size
    oldest = min(int(entry.name[8:16], 16) * per_log + int(entry.name[16:24], 16) for entry in segments)
    return oldest <= position // size


def put(layout: Layout, name: str, state: State) -> None:
    """Durable, snapshot first; a crash leaves the slot as it was, or none, or the new one. Blocking."""
    if state.snapshot is not None:
        _write(layout.data / "pg_logical/snapshots" / state.snapshot_name, state.snapshot)
    final = layout.data / "pg_replslot" / name
    making = final.with_name(f"{name}.tmp")  # PostgreSQL removes such a directory at its start
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(mode=0o700)
    _write(making / "state", state.data)
    shutil.rmtree(final, ignore_errors=True)
    making.rename(final)
    incarnation.sync_directory(final.parent)


def _write(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    incarnation.sync_directory(path.parent)
