"""One look at the own server: fence, files, one query on a kept connection. Never longer than a second.

Lives as long as the agent; remembers per postmaster what PostgreSQL does not say (the timeline last received, a
promotion that was sent).
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import msgspec
import psycopg

from pgherd.model.parameters import LIMITS, Change, cramped
from pgherd.model.position import Position, parse_lsn
from pgherd.model.server import Data, Process, Server
from pgherd.model.settings import Settings
from pgherd.model.synchronous import Sender
from pgherd.postgres import histories, incarnation, render
from pgherd.postgres.control import ControlReader
from pgherd.postgres.errors import FenceSilent
from pgherd.postgres.layout import Layout
from pgherd.postgres.link import FenceLink, FenceState
from pgherd.postgres.sessions import Connection, bounded, connect, is_busy, is_shutting_down, query
from pgherd.postgres.walend import WalEnd

MEBIBYTE = 1024 * 1024
FENCE = 0.3
ANSWER = 0.6
"""Seconds; with FENCE less than the second that an observation may take."""

WAITS = """SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'startup'
        AND (wait_event_type IN ('Lock', 'BufferPin') OR wait_event IN ('RecoveryApplyDelay', 'RecoveryPause',
             'RecoveryConflictSnapshot', 'RecoveryConflictTablespace'))"""
"""https://www.postgresql.org/docs/current/monitoring-stats.html#WAIT-EVENT-TABLE"""

SQL = f"""
SELECT r.recovery,
       (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,
       CASE WHEN NOT r.recovery THEN pg_walfile_name(pg_current_wal_insert_lsn()) END AS walfile,
       CASE WHEN NOT r.recovery THEN pg_current_wal_flush_lsn()::text END AS flushed,
       CASE WHEN r.recovery THEN pg_last_wal_receive_lsn()::text END AS received,
       CASE WHEN r.recovery THEN pg_last_wal_replay_lsn()::text END AS replayed,
       CASE WHEN r.recovery THEN pg_is_wal_replay_paused() ELSE false END AS paused,
       CASE WHEN r.recovery THEN ({WAITS}) END AS replay_waits,
       (SELECT timeline_id FROM pg_control_checkpoint()) AS checkpoint_timeline,
       (SELECT min_recovery_end_timeline FROM pg_control_recovery()) AS minimum_timeline,
       receiver.status AS receiver, receiver.received_tli AS received_timeline,
       current_setting('primary_conninfo') AS conninfo, current_setting('restore_command') AS restore,
       ARRAY[{", ".join(f"current_setting('{name}')::int" for name in LIMITS)}] AS limits,
       (SELECT json_agg(json_build_array(application_name, flush_lsn::text, sync_state))
          FROM pg_stat_replication WHERE state = 'streaming' AND flush_lsn IS NOT NULL) AS senders
  FROM (SELECT pg_is_in_recovery() AS recovery) AS r
  LEFT JOIN pg_stat_wal_receiver AS receiver ON true
"""


def free(layout: Layout) -> int | None:
    """Bytes that an unprivileged process may still write to the data and the WAL volume, the lesser, in whole MiB."""
    volumes = [layout.data.parent, *([layout.wal_home.parent] if layout.wal_home else [])]
    try:
        found = [os.statvfs(volume) for volume in volumes]
    except OSError:
        return None
    return min(each.f_bavail * each.f_frsize for each in found) // MEBIBYTE * MEBIBYTE


class Observer:
    def __init__(self, layout: Layout, settings: Settings, link: FenceLink) -> None:
        self._layout = layout
        self._settings = settings
        self._link = link
        self.control = ControlReader(layout)
        self.wal_end = WalEnd(layout)
        self.stopping: int | None = None
        """Pid of the postmaster that was told to shut down, by this agent or by somebody else."""
        self.promoting: int | None = None
        """Pid of the postmaster that a promotion was sent to: it counts as primary from then on."""
        self.pending_restart: dict[str, Change] = {}
        self.refused = ""
        self._last = Server()
        self._fence: FenceState | None = None
        self._pid: int | None = None
        self._timeline = 0
        self._on_disk: tuple[str | None, Position] | None = None
        """Incarnation, and where its WAL ended when the server was stopped: a standby that was started since shows
        only what it replayed."""
        self._connection: Connection | None = None
        self._asking: asyncio.Task[dict[str, Any]] | None = None

    async def observe(self) -> Server:
        """What is known now. A server that is down, starting or frozen is an answer, not an error."""
        try:
            self._fence = await bounded(self._link.state(), FENCE)
        except (TimeoutError, FenceSilent):
            if self._fence is None:
                return self._last
        pid = self._fence.postgres_pid
        if pid != self._pid:
            await self.forget()
            self._pid = pid
        if pid:
            seen = await self._running(pid)
        else:
            seen = await self._stopped(self._fence.dead)
            self._remember_end(seen)
        self._last = msgspec.structs.replace(seen, free=free(self._layout))
        return self._last

    async def forget(self) -> None:
        """Another postmaster, or none: nothing that was learnt about the last one holds."""
        self._pid = self.promoting = self.stopping = None
        self._timeline = 0
        self.pending_restart = {}
        await self.disconnect()

    async def disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection:
            await connection.close()

    async def _stopped(self, dead: bool) -> Server:
        process = Process.STOPPED if dead else Process.CRASHED
        data = self.data()
        control = await self.control.read() if data is Data.PRESENT else None
        if control is None:
            return Server(data=Data.BROKEN if data is Data.PRESENT else data, process=process)
        position, end_known = await self.wal_end.position(control, 0.3)
        return Server(
            data=data,
            process=process,
            system_identifier=control.system_identifier,
            incarnation=incarnation.read(self._layout.data),
            clean=control.clean,
            was_primary=control.was_primary and not (self._layout.data / "backup_label").exists(),
            position=position,
            end_known=end_known,
            history=histories.read(self._layout.wal, position.timeline) if position else (),
            server_version=self._settings.postgres.version * 10000,
        )

    def _remember_end(self, stopped: Server) -> None:
        """An end that is being looked for takes nothing back: a start forgets the search while it prepares."""
        if stopped.position is None and stopped.end_known and stopped.data is Data.PRESENT:
            return
        known = stopped.position if stopped.end_known else None
        self._on_disk = (stopped.incarnation, known) if known else None

    async def _look_for_end(self) -> None:
        """As of a stopped server, in the background: its agent started anew while it replays what is on its disk."""
        control = await self.control.read()
        if control is not None:
            position, known = await self.wal_end.position(control, 0.0)
            self._on_disk = (incarnation.read(self._layout.data), position) if position and known else None

    def data(self) -> Data:
        """Whether the volume holds data; a rewind that did not end leaves none that can be used (S5), and
        what a program of the user puts there instead of beside it is none (S7)."""
        try:
            filled = any(self._layout.data.iterdir())
        except FileNotFoundError:
            filled = False
        if not filled or self._layout.making.exists():
            return Data.EMPTY
        return Data.HALF_REWOUND if self._layout.rewinding.exists() else Data.PRESENT

    async def _running(self, pid: int) -> Server:
        try:
            row = await self._ask()
        except (TimeoutError, psycopg.Error, OSError) as error:
            return await self._unanswered(pid, error)
        if not row["recovery"]:
            self.promoting = None
        elif self._on_disk is None and not row["received"]:
            await self._look_for_end()
        limits = dict(zip(LIMITS, row["limits"], strict=True))
        control = await self.control.read() if row["paused"] else None
        needs = cramped(limits, control.limits) if control else ()
        return msgspec.structs.replace(self._described(pid, row), limits=limits, cramped=needs)

    async def _ask(self) -> dict[str, Any]:
        """One query; while an earlier one still hangs in a frozen server, no further connection is made."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._fetch())
            self._asking.add_done_callback(lambda task: task.cancelled() or task.exception())
        task = self._asking
        done, _ = await asyncio.wait({task}, timeout=ANSWER)
        if not done:
            raise TimeoutError
        if self._asking is task:  # a start or a promotion may look at the same time
            self._asking = None
        return task.result()

    async def _fetch(self) -> dict[str, Any]:
        if self._connection is None or self._connection.closed:
            self._connection = await connect(self._layout)
        try:
            return {**await query(self._connection, SQL), "version": self._connection.info.server_version}
        except psycopg.Error:
            await self.disconnect()
            raise

    async def _unanswered(self, pid: int, error: Exception) -> Server:
        """Starting or stopping, or frozen after it had answered: then it may still be writing, so nothing changes."""
        if is_shutting_down(error):
            self.stopping = pid
        ends = self.stopping == pid
        if self._last.process is Process.RUNNING and not ends and not is_busy(error):
            return self._last
        known = self._last
        if known.position is None:
            known = await self._stopped(dead=True)
            self._remember_end(known)
        known = msgspec.structs.replace(known, clean=False, was_primary=False)
        promoting = self.promoting == pid
        if ends:
            down, primary = await self._shut_down(), known.primary or promoting
            return msgspec.structs.replace(known, process=Process.STOPPING, primary=primary, shut_down=down)
        return msgspec.structs.replace(
            known, process=Process.STARTING, primary=promoting, promoting=promoting, streaming=False,
            receiver_timeline=None,
        )  # fmt: skip

    async def _shut_down(self) -> int | None:
        """Where the WAL ends once the shutdown's checkpoint is in it; the postmaster may live on for what hangs."""
        control = await self.control.read()
        if control is None or control.state != "shut down":
            return None
        position, known = await self.wal_end.position(control, 0.2)
        return position.lsn if position and known else None

    def _described(self, pid: int, row: dict[str, Any]) -> Server:
        replayed = parse_lsn(row["replayed"]) if row["replayed"] else 0
        if row["recovery"]:
            position = self._standby_position(row, replayed)
        else:
            position = Position(int(row["walfile"][:8], 16), parse_lsn(row["flushed"]))
            replayed = position.lsn
        return Server(
            data=Data.PRESENT,
            process=Process.STOPPING if self.stopping == pid else Process.RUNNING,
            system_identifier=row["system_identifier"],
            incarnation=incarnation.read(self._layout.data),
            primary=not row["recovery"] or self.promoting == pid,
            promoting=self.promoting == pid,
            position=position,
            history=histories.read(self._layout.wal, position.timeline),
            replayed=replayed,
            following=render.followed(row["conninfo"], row["restore"], self._settings.cluster),
            streaming=bool(row["recovery"]) and row["receiver"] == "streaming",
            receiver_timeline=row["received_timeline"] if row["receiver"] else None,
            paused_replay=row["paused"],
            replay_waits=row["replay_waits"] or "",
            pending_restart=self.pending_restart,
            refused=self.refused,
            server_version=row["version"],
            senders=self._senders(row),
        )

    def _senders(self, row: dict[str, Any]) -> tuple[Sender, ...]:
        """To members only: anybody may call a subscription or a WAL archiver as he likes."""
        if row["recovery"]:
            return ()
        members = frozenset(self._settings.members)
        found = {name: Sender(name, parse_lsn(lsn), state) for name, lsn, state in row["senders"] or ()}
        return tuple(found[name] for name in sorted(members & found.keys()))

    def _standby_position(self, row: dict[str, Any], replayed: int) -> Position:
        """pg_control follows the timeline only at restart points: the receiver's is remembered, segments count too."""
        known = max(row["checkpoint_timeline"], row["minimum_timeline"])
        received = parse_lsn(row["received"]) if row["received"] else 0
        if not self._timeline:
            self._timeline = histories.newest_own(self._layout.wal, Position(known, 0))
        self._timeline = max(self._timeline, known, row["received_timeline"] or 0)
        if received:  # a receiver is begun when all WAL that was here is replayed
            self._on_disk = None
        data, end = self._on_disk or (None, Position(0, 0))
        same = end.timeline == self._timeline and data == incarnation.read(self._layout.data)
        return Position(self._timeline, max(received, replayed, end.lsn if same else 0))
