"""A standby leader beside the remote primary: may it follow? By entries of histories, never by numbers alone (S5)."""

from __future__ import annotations

import enum

import msgspec

from pgherd.model.position import fork, format_lsn, parted
from pgherd.model.standby import RemoteLine
from pgherd.model.view import View

STALLED = 120.0
"""Seconds without a byte from a remote primary that answers and has more."""


class Against(enum.Enum):
    NO_HOST = "no host"
    """Only an archive: PostgreSQL itself finds out what it cannot replay."""
    UNKNOWN = "unknown"
    FOREIGN = "foreign"
    """Data of another cluster (S6)."""
    DIVERGED = "diverged"
    """It has WAL that the remote primary lacks."""
    FITS = "fits"


class Found(msgspec.Struct, frozen=True):
    verdict: Against
    text: str = ""
    asked: bool = True
    """It was asked since the own WAL stands still; else its word is to come."""


def against(view: View) -> Found:
    """What is known of it now. A word counts that was asked for since the own end of WAL stands still; while it
    streams from there no word is needed."""
    wanted, seen, server = view.configuration.standby_cluster, view.remote, view.server
    assert wanted is not None
    if not wanted.host:
        return Found(Against.NO_HOST)
    if seen is None or seen.of != wanted:
        return Found(Against.UNKNOWN, f"{wanted.shown} was not asked yet", asked=False)
    since = view.stalled_since is not None and seen.asked >= view.stalled_since
    if seen.line is None:
        return Found(Against.UNKNOWN, f"{wanted.shown} does not answer: {seen.why}", since)
    line = seen.line
    if server.system_identifier not in (None, line.system_identifier):
        text = f"system identifier {line.system_identifier} of {wanted.shown} is not {server.system_identifier} (S6)"
        return Found(Against.FOREIGN, text)
    if server.streaming or server.position is None:
        return Found(Against.FITS)
    if not since:
        return Found(Against.UNKNOWN, f"{wanted.shown} was not asked since the own WAL stands still", asked=False)
    why = diverged(view, line)
    return Found(Against.DIVERGED, f"{why} of {wanted.shown}") if why else Found(Against.FITS)


def diverged(view: View, line: RemoteLine) -> str:
    """What is wrong with the own position; empty when nothing is. A remote standby may still get what is ahead."""
    server = view.server
    position = server.position
    assert position is not None
    if not server.end_known:
        return "the end of the own WAL cannot be compared with the line"
    there = f"on {line.timeline}@{format_lsn(line.lsn)}"
    if line.recovery:
        apart = parted(position, server.history, line.position, line.history)
        return f"{position} is not in the history, {there}," if apart else ""
    if fork(position, server.history, line.timeline, line.history) is not None:
        return f"{position} is not in the history, {there},"
    if position.timeline == line.timeline and position.lsn > line.lsn:
        return f"{position} is ahead, {there},"
    assert view.stalled_since is not None and view.remote is not None
    still = view.remote.asked - view.stalled_since
    if still > STALLED and line.lsn > position.lsn:
        # It recycled what this server lacks, or its line only looks the same: promoted at the same place.
        return f"no WAL came for {still:.0f} s, {there},"
    return ""
