"""A standby cluster: the holder of its lease follows a primary elsewhere, from a host, an archive or both, and is not
promoted before `standby_cluster` is gone from the configuration. Values only.

What is known of the remote primary comes from asking it (RemoteSeen); the lease of its cluster is its own affair.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from pgherd.model.position import History, Position

REMOTE = "the remote primary"
"""Instead of a member's name, where somebody is followed or copied. No member can be called so."""

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?")
_SLOT = re.compile(r"[a-z0-9_]{1,63}")
_DELAY = re.compile(r"\d+ ?(us|ms|s|min|h|d)?")
METHODS = ("basebackup",)


class StandbyCluster(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """In Patroni's shape; `sslmode` is ours."""

    host: str = ""
    """Name or address of the remote primary; several with commas between them: the first that accepts writes."""
    port: int = 5432
    primary_slot_name: str = ""
    """Physical slot on the remote primary, made there by a person."""
    restore_command: str = ""
    archive_cleanup_command: str = ""
    recovery_min_apply_delay: str | int = ""
    """PostgreSQL's text; a bare number is milliseconds."""
    create_replica_methods: tuple[str, ...] = ()
    sslmode: Literal["verify-full", "verify-ca"] = "verify-full"

    @property
    def shown(self) -> str:
        return f"{self.host}:{self.port}" if self.host else "the archive"


class RemoteLine(msgspec.Struct, frozen=True):
    """What a server says of itself: the line that it writes, or follows."""

    system_identifier: str
    timeline: int
    history: History
    lsn: int
    """Newest WAL that it has, bytes."""
    recovery: bool = False
    """It is a standby itself: it may get more."""

    @property
    def position(self) -> Position:
        return Position(self.timeline, self.lsn)


class RemoteSeen(msgspec.Struct, frozen=True):
    """The last word of the remote primary."""

    of: StandbyCluster
    asked: float
    """Boot time before the question was sent."""
    line: RemoteLine | None
    why: str = ""
    """Why there is no word."""


def problem(standby: StandbyCluster) -> str | None:
    """What cannot work: field, value and what is allowed."""
    if not standby.host and not standby.restore_command:
        return "host, restore_command: at least one is needed, or there is nothing to follow"
    bad = [name for name in standby.host.split(",") if standby.host and not _HOST.fullmatch(name)]
    if bad:
        return f"host={standby.host!r}: must be a DNS name or an IP address, several with commas between them"
    if not 1 <= standby.port <= 65535:
        return f"port={standby.port}: must be from 1 to 65535"
    if standby.primary_slot_name and not _SLOT.fullmatch(standby.primary_slot_name):
        return f"primary_slot_name={standby.primary_slot_name!r}: must be 1 to 63 of a-z, 0-9 and _"
    if standby.primary_slot_name and not standby.host:
        return f"primary_slot_name={standby.primary_slot_name!r}: needs host"
    if (why := command_problem("restore_command", standby.restore_command, ("%f", "%p"))) is not None:
        return why
    if (why := command_problem("archive_cleanup_command", standby.archive_cleanup_command, ())) is not None:
        return why
    delay = standby.recovery_min_apply_delay
    if delay != "" and not _DELAY.fullmatch(str(delay)):
        return f"recovery_min_apply_delay={delay!r}: must be a number, perhaps with us, ms, s, min, h or d"
    unknown = [method for method in standby.create_replica_methods if method not in METHODS]
    if unknown:
        return f"create_replica_methods={unknown[0]!r}: must be {' or '.join(METHODS)}"
    return None


def command_problem(name: str, command: str, needed: tuple[str, ...]) -> str | None:
    """A shell command of recovery: one line that names what it is to fetch."""
    if not command:
        return None
    if "\n" in command or "\0" in command:
        return f"{name}={command!r}: must be one line"
    missing = [word for word in needed if word not in command]
    return f"{name}={command!r}: must contain {' and '.join(needed)}" if missing else None
