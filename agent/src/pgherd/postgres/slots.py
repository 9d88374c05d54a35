"""Physical replication slots for the members: on a primary one each, so that no replica's WAL is recycled."""

from __future__ import annotations

from collections.abc import Iterable

from pgherd.model.position import parse_lsn
from pgherd.postgres.sessions import Connection

SQL = """SELECT slot_name, active, restart_lsn::text AS restart_lsn
  FROM pg_replication_slots WHERE slot_type = 'physical' AND NOT temporary"""


async def keep(connection: Connection, wanted: Iterable[str], members: Iterable[str]) -> dict[str, int]:
    """Create missing slots (reserving WAL at once), drop members' slots that are not wanted; positions in bytes.

    `members` are the slots that are ours to drop: others belong to the user. An active one is dropped next time.
    """
    keep = set(wanted)
    rows = await (await connection.execute(SQL)).fetchall()
    found = {row["slot_name"]: row for row in rows}
    for name in sorted(keep - found.keys()):
        await connection.execute("SELECT pg_create_physical_replication_slot(%s, true)", (name,))
    for name in sorted((set(members) - keep) & found.keys()):
        if not found[name]["active"]:
            await connection.execute("SELECT pg_drop_replication_slot(%s)", (name,))
    rows = await (await connection.execute(SQL)).fetchall()
    return {
        row["slot_name"]: parse_lsn(row["restart_lsn"]) if row["restart_lsn"] else 0
        for row in rows
        if row["slot_name"] in keep
    }
