"""Proof that `synchronous_standby_names` is in force, on every process that acknowledges commits (ha-protocol §6).

A new connection that shows the value proves only that the postmaster has read it. A commit waits as soon as the
checkpointer has read it (an empty value becoming a name), and is released by WAL senders, each of which goes by the
value that itself has read. https://www.postgresql.org/docs/current/warm-standby.html#SYNCHRONOUS-REPLICATION
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable

from pgherd.model.mapping import boottime
from pgherd.model.position import parse_lsn
from pgherd.model.synchronous import Rule
from pgherd.postgres.errors import PostgresError
from pgherd.postgres.sessions import Connection, bounded, query

ANSWER = 5.0
SHOWN = 5.0
"""Seconds for a new connection to show the value after a reload."""
PATIENCE = 2.0
"""Seconds that a WAL sender is given to show that it has read the value; then it is terminated."""
ENDING = 5.0
"""Seconds for a terminated WAL sender to end."""
POLL = 0.03
TRIES = 5
"""Probe commits before the checkpointer is asked instead."""
PROBE = 1.0
"""Seconds for a probe commit to end by itself."""
BARRIER = 600.0

Connect = Callable[[], Awaitable[Connection]]

SENDERS = """SELECT pid, reply_time::text AS replied FROM pg_stat_replication
  WHERE application_name = ANY(%s) AND state IN ('startup', 'catchup', 'streaming')"""
RECEIVER = """SELECT current_setting('primary_conninfo') AS source,
  (SELECT min(pid) FROM pg_stat_activity WHERE backend_type = 'walreceiver') AS pid,
  pg_last_wal_receive_lsn() IS NOT NULL OR EXISTS (SELECT FROM pg_stat_activity
    WHERE backend_type = 'startup' AND wait_event = 'RecoveryRetrieveRetryInterval') AS known"""
NUDGE = "SELECT pg_logical_emit_message(true, 'pgherd', 'synchronous')"
WATCH = """DO $$ DECLARE give_up timestamptz := clock_timestamp() + '200 ms'; seen boolean := false; BEGIN
  WHILE NOT seen AND clock_timestamp() < give_up LOOP
    PERFORM pg_stat_clear_snapshot();
    seen := EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep');
  END LOOP;
  PERFORM set_config('pgherd.seen', seen::text, false);
END $$"""


def setting(rule: Rule) -> str:
    """The parameter's text."""
    names = ", ".join(f'"{standby.member}"' for standby in rule.standbys)
    method = "ANY" if rule.votes < len(rule.standbys) else "FIRST"
    return f"{method} {rule.votes} ({names})" if names else ""


async def shown(connect: Connect, text: str) -> None:
    """Until a connection opened after the reload shows the value. Raises PostgresError."""
    end = boottime() + SHOWN
    while True:
        connection = await connect()
        try:
            row = await bounded(
                query(connection, "SELECT current_setting('synchronous_standby_names') AS value"), ANSWER
            )
        finally:
            await connection.close()
        if row["value"] == text:
            return
        if boottime() > end:
            raise PostgresError(f"synchronous_standby_names is {row['value']!r} after the reload, not {text!r}")
        await asyncio.sleep(POLL)


async def commits_wait(connect: Connect, primary: bool) -> None:
    """Until the checkpointer has told all backends that commits wait: a commit was seen waiting, or it did more work.

    It reads the value before it begins a checkpoint that was asked for after the reload.
    """
    watcher = await connect()
    try:
        for _ in range(TRIES if primary else 0):
            if await _seen_waiting(connect, watcher):
                return
        await bounded(watcher.execute("CHECKPOINT"), BARRIER)
    finally:
        await watcher.close()


async def _seen_waiting(connect: Connect, watcher: Connection) -> bool:
    """One probe commit; whether any commit was seen waiting meanwhile."""
    committer = await connect()
    try:
        await bounded(committer.execute("SET synchronous_commit = 'remote_apply'"), ANSWER)
        commit = asyncio.create_task(committer.execute(NUDGE))
        commit.add_done_callback(lambda task: task.cancelled() or task.exception())
        await bounded(watcher.execute(WATCH), ANSWER)
        row = await bounded(query(watcher, "SELECT current_setting('pgherd.seen') AS seen"), ANSWER)
        await asyncio.wait({commit}, timeout=PROBE)
        if not commit.done():  # nobody answers: a probe is not to wait for ever
            sql = "SELECT pg_terminate_backend(%s) AS sent"
            await bounded(query(watcher, sql, (committer.info.backend_pid,)), ANSWER)
            await asyncio.wait({commit}, timeout=ANSWER)
        return bool(row["seen"] == "true")
    finally:
        await committer.close()


async def senders_obey(connection: Connection, members: tuple[str, ...]) -> None:
    """Until each WAL sender to a member is a new process, or has answered twice since (then it has read the value)."""
    before = await _senders(connection, members)
    changes = dict.fromkeys(before, 0)
    began, terminated = boottime(), False
    while left := [pid for pid in before if changes[pid] < 2]:
        await bounded(connection.execute(NUDGE), ANSWER)  # so that the standbys have something to answer
        await asyncio.sleep(POLL)
        now = await _senders(connection, members)
        for pid in left:
            if pid not in now:
                changes[pid] = 2
            elif now[pid] != before[pid]:
                changes[pid], before[pid] = changes[pid] + 1, now[pid]
        if boottime() > began + PATIENCE and not terminated:
            terminated = True
            for pid in left:
                await bounded(query(connection, "SELECT pg_terminate_backend(%s) AS sent", (pid,)), ANSWER)
        if boottime() > began + PATIENCE + ENDING:
            raise PostgresError(f"WAL sender {left[0]} neither goes by the new value nor ends")


async def _senders(connection: Connection, members: tuple[str, ...]) -> dict[int, str | None]:
    cursor = await connection.execute(SENDERS, (list(members),))
    return {row["pid"]: row["replied"] for row in await bounded(cursor.fetchall(), ANSWER)}


async def receiver_ended(connection: Connection) -> None:
    """Until there is no source any more, no WAL receiver, connecting ones included, and the end of its WAL is known:
    a server that was started since shows only what it has replayed so far. Raises PostgresError."""
    end = boottime() + ENDING
    while True:
        row = await bounded(query(connection, RECEIVER), ANSWER)
        if row["pid"] is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(row["pid"], signal.SIGTERM)  # no backend in the sense of pg_terminate_backend
        elif not row["source"] and row["known"]:
            return
        if boottime() > end:
            why = "" if row["known"] else ": the own WAL is not replayed yet"
            raise PostgresError(f"the WAL receiver does not end, or the end of the WAL is not known{why}")
        await asyncio.sleep(POLL)


async def flushed(connection: Connection) -> tuple[bool, int]:
    """Whether it is a primary, and how far its WAL is on disk (0 on a standby)."""
    sql = """SELECT pg_is_in_recovery() AS recovery,
        CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn()::text END AS lsn"""
    row = await bounded(query(connection, sql), ANSWER)
    return not row["recovery"], parse_lsn(row["lsn"]) if row["lsn"] else 0
