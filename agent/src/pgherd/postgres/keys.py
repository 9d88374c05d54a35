"""The certificates that PostgreSQL serves with, and those that libpq replicates with, as both accept them.

Copies of what is mounted (pgherd.tls.take): brought up to date before each use, and whenever they change
(runtime/certificates.py). As long as a copy is there, PostgreSQL starts, whatever is mounted by then.
"""

from __future__ import annotations

from pgherd.postgres.errors import PostgresError
from pgherd.postgres.layout import Layout
from pgherd.tls import take
from pgherd.tls.pair import Unusable, Usage


def withhold(layout: Layout) -> None:
    """Nobody can open a replication connection any more, until the next `refresh` (S3)."""
    take.withhold(layout.keys)


def refresh(layout: Layout) -> None:
    """The replication client's. Raises PostgresError when there is none to be used."""
    _current(layout, "replication certificate", replication=True)


def serve(layout: Layout) -> None:
    """The server's. Raises PostgresError when there is none to be used."""
    _current(layout, "server certificate", replication=False)


def _current(layout: Layout, what: str, replication: bool) -> None:
    source = layout.certificates / "replication" if replication else layout.certificates
    target, usage = (layout.keys, Usage.CLIENT) if replication else (layout.served, Usage.SERVER)
    try:
        take.take(source, target, usage)
    except (Unusable, OSError) as error:
        if not (target / "tls.key").exists():
            raise PostgresError(f"{what} in {source}: {error}") from None
