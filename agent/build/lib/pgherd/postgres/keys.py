"""The certificates that PostgreSQL serves with, and those that libpq replicates with, as both accept them.

Copies of what is mounted (pgherd.tls.take): brought up to date before each use, and whenever they change
(runtime/certificates.py). As long as a copy is there, PostgreSQL starts, whatever is mounted by then.
"""

from __future__ import annotations

from pathlib import Path

from pgherd.postgres.errors import PostgresError
from pgherd.postgres.layout import Layout
from pgherd.tls import take
from pgherd.tls.pair import Unusable, Usage


def withhold(layout: Layout) -> None:
    """Nobody can open a replication connection any more, until the next `refresh` (S3)."""
    take.withhold(layout.keys)


def refresh(layout: Layout) -> None:
    """The replication client's. Raises PostgresError when there is none to be used."""
    own, remote = layout.certificates / "replication", layout.certificates / "remote"
    _current("replication certificate", own, layout.keys, Usage.CLIENT)
    # A remote primary of the same authority takes the own certificate.
    given = remote if (remote / "tls.crt").exists() else own
    _current("certificate for the remote primary", given, layout.remote_keys, Usage.CLIENT)


def serve(layout: Layout) -> None:
    """The server's. Raises PostgresError when there is none to be used."""
    _current("server certificate", layout.certificates, layout.served, Usage.SERVER)


def _current(what: str, source: Path, target: Path, usage: Usage) -> None:
    try:
        take.take(source, target, usage)
    except (Unusable, OSError) as error:
        if not (target / "tls.key").exists():
            raise PostgresError(f"{what} in {source}: {error}") from None
