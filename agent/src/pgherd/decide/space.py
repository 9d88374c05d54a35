"""A volume that is full: PostgreSQL lives and answers, and soon writes nothing any more.

That is no reason to wait for an end: who has more space gets the lease after an ordinary shutdown, and where nobody
has, the primary stays as it is, for reads and for whoever makes room.
"""

from __future__ import annotations

from pgherd.decide import compare
from pgherd.model.lease import Lease
from pgherd.model.server import Server
from pgherd.model.view import View

SEGMENT = 16 * 1024 * 1024
LEAST = SEGMENT
"""Bytes: below, the next WAL segment has no place, and PostgreSQL panics when it comes to that."""
CATCHES_UP = 5.0
"""Seconds after the stop in which who has room may still say that it has everything."""
ROOM = 4 * SEGMENT
"""Bytes that a successor must have: a lease that wanders from one full volume to another helps nobody."""


def full(server: Server) -> bool:
    return server.free is not None and server.free < LEAST


def roomy(view: View, record: Lease) -> frozenset[str]:
    """The recorded candidates that answer and whose volumes take more."""
    named = {candidate.member: candidate.incarnation for candidate in record.candidates}
    return frozenset(
        status.member
        for status in compare.answers(view)
        if named.get(status.member) == status.incarnation and not status.terminating
        if status.free is not None and status.free >= ROOM
    )


def said(server: Server, better: bool) -> str:
    left = (server.free or 0) // (1024 * 1024)
    then = "the lease goes to a candidate that has more" if better else "no candidate has more: make room"
    return f"the data or WAL volume is full ({left} MiB left); {then}"
