"""What pg_control says, through pg_controldata: the source of truth for a server that does not run.

https://www.postgresql.org/docs/current/app-pgcontroldata.html
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from pgherd.model.position import Position, parse_lsn
from pgherd.postgres.errors import ToolFailed
from pgherd.postgres.layout import Layout, environment
from pgherd.postgres.run import run

CLEAN = frozenset({"shut down", "shut down in recovery"})
LIMIT = 5.0
LIMITS = {
    "max_connections": "max_connections setting",
    "max_worker_processes": "max_worker_processes setting",
    "max_wal_senders": "max_wal_senders setting",
    "max_prepared_transactions": "max_prepared_xacts setting",
    "max_locks_per_transaction": "max_locks_per_xact setting",
}
PRIMARY = frozenset({"in production", "shut down", "shutting down", "in crash recovery"})


class ControlData(msgspec.Struct, frozen=True):
    system_identifier: str
    state: str
    """As PostgreSQL words it: "shut down", "in production", "in archive recovery", ..."""
    checkpoint: Position
    """Start of the latest checkpoint record, on its timeline."""
    minimum: Position | None
    """Where a standby's recovery must have come to be consistent; None for a primary."""
    segment_size: int
    limits: dict[str, int] = {}
    """What a hot standby must have at least: the primary's values, as the WAL said last."""

    @property
    def clean(self) -> bool:
        return self.state in CLEAN

    @property
    def was_primary(self) -> bool:
        return self.state in PRIMARY

    @property
    def timeline(self) -> int:
        """The newest timeline that pg_control knows this data to be on."""
        return max(self.checkpoint.timeline, self.minimum.timeline if self.minimum else 0)

    @property
    def position(self) -> Position:
        """The least that this server has."""
        return max(self.checkpoint, self.minimum or self.checkpoint)


def parse(text: str) -> ControlData:
    """Raises KeyError or ValueError when a field is missing or malformed."""
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}
    minimum = Position(
        int(fields["Min recovery ending loc's timeline"]), parse_lsn(fields["Minimum recovery ending location"])
    )
    return ControlData(
        system_identifier=fields["Database system identifier"],
        state=fields["Database cluster state"],
        checkpoint=Position(
            int(fields["Latest checkpoint's TimeLineID"]), parse_lsn(fields["Latest checkpoint location"])
        ),
        minimum=minimum if minimum.timeline else None,
        segment_size=int(fields["Bytes per WAL segment"]),
        limits={name: int(fields[label]) for name, label in LIMITS.items()},
    )


class ControlReader:
    """Reads it again only when the file has changed: one stat per observation of a stopped server."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._seen: tuple[int, int, int] | None = None
        self._data: ControlData | None = None

    async def read(self) -> ControlData | None:
        """None when it cannot be read: the data directory is then broken, not empty (S7)."""
        try:
            status = (self._layout.data / "global" / "pg_control").stat()
        except OSError:
            self._seen = self._data = None
            return None
        seen = (status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
        if seen != self._seen:
            self._data = await self._run()
            self._seen = seen if self._data else None  # on a busy machine it may succeed the next time
        return self._data

    async def _run(self) -> ControlData | None:
        return await read(self._layout, self._layout.data)


async def read(layout: Layout, directory: Path) -> ControlData | None:
    """None when it cannot be read."""
    try:
        return parse(await run([layout.program("pg_controldata"), str(directory)], environment(), LIMIT))
    except (ToolFailed, KeyError, ValueError):
        return None
