"""One PostgreSQL server as its own agent sees it."""

from __future__ import annotations

import enum
from collections.abc import Mapping

import msgspec

from pgherd.model.parameters import Change
from pgherd.model.position import History, Position
from pgherd.model.synchronous import Sender


class Data(enum.Enum):
    """What the volume holds."""

    EMPTY = "empty"
    PRESENT = "present"
    HALF_REWOUND = "half rewound"
    """pg_rewind did not end: nothing that may be started, and a clone replaces it (S5)."""
    BROKEN = "broken"
    """A data directory that pg_controldata cannot read: never initialised over (S7)."""


class Process(enum.Enum):
    STOPPED = "stopped"
    """No process has the data directory as its working directory (an empty killing pass, or never started)."""
    CRASHED = "crashed"
    """The postmaster is gone uncleanly: backends may still live until a killing pass is empty (S1)."""
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


class Server(msgspec.Struct, frozen=True):
    """Observed at one instant; positions are bytes."""

    data: Data = Data.EMPTY
    process: Process = Process.STOPPED
    system_identifier: str | None = None
    incarnation: str | None = None
    """Id in the data directory, new after every initdb, clone, rewind or restore."""
    primary: bool = False
    """It accepts writes, or may at any moment: not in recovery, or a promotion was sent."""
    promoting: bool = False
    """A promotion was sent and recovery has not ended: nothing may be published yet, nothing can be recalled."""
    shut_down: int | None = None
    """Stopping, and pg_control says "shut down" already: where its WAL ends (bytes). What is left of it, a hanging
    archiver or a slow standby's sender, writes nothing any more."""
    clean: bool = False
    """Stopped, and pg_control says "shut down" or "shut down in recovery"."""
    was_primary: bool = False
    """Stopped, and pg_control says it last ran as a primary ("in production" or "shut down")."""
    position: Position | None = None
    """The newest WAL it has: written (primary), received or replayed (standby), found on disk (stopped; None until
    that is done: pg_control knows only the last checkpoint, and a former primary may have diverged after it, S5)."""
    end_known: bool = True
    """False when the end of a stopped server's WAL cannot be found: `position` is then only the least it has."""
    history: History = ()
    """Ancestors of position.timeline."""
    replayed: int = 0
    following: str | None = None
    """Member that primary_conninfo names."""
    streaming: bool = False
    """A WAL receiver runs with status streaming."""
    receiver_timeline: int | None = None
    paused_replay: bool = False
    replay_waits: str = ""
    """For what replay waits on purpose (recovery_min_apply_delay, a query in its way, a pause), as PostgreSQL calls it:
    a WAL receiver begins only when all WAL that is here was replayed."""
    limits: Mapping[str, int] = {}
    """What it runs with of the parameters that a standby needs as large as its primary's (model/parameters)."""
    cramped: tuple[str, ...] = ()
    """Of those, the ones that are smaller than its WAL demands: replay stands still until a restart."""
    pending_restart: Mapping[str, Change] = {}
    """Parameters that wait for a restart."""
    refused: str = ""
    """Why the configured part for PostgreSQL is not in force; empty when it is."""
    server_version: int = 0
    """As server_version_num, 0 when unknown."""
    free: int | None = None
    """Bytes that the data volume still takes, in whole MiB; None when unknown."""
    senders: tuple[Sender, ...] = ()
    """A primary's WAL senders to members, those that stream."""


class Health(msgspec.Struct, frozen=True):
    """The last proof of health: a new connection answered, and a write + fsync on the volume succeeded."""

    checked: float
    """Boot time at which the check *began* (seconds)."""
    alive: bool
    reason: str = ""
