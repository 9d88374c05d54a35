"""The replication client's certificate as libpq accepts it.

A Kubernetes volume shows keys as 0440 for the pod's group; libpq refuses that unless root owns the file. So the
files are copied with 0600 into a memory-backed directory, before each use and whenever they change.
"""

from __future__ import annotations

import os

from pgherd.postgres.errors import PostgresError
from pgherd.postgres.layout import Layout

FILES = ("tls.crt", "tls.key", "ca.crt")


def withhold(layout: Layout) -> None:
    """Nobody can open a replication connection any more, until the next `refresh`."""
    (layout.keys / "tls.key").unlink(missing_ok=True)


def refresh(layout: Layout) -> bool:
    """Copy what changed. Whether anything did. Raises PostgresError when the certificate is not mounted."""
    layout.keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    changed = False
    for name in FILES:
        source = layout.certificates / "replication" / name
        target = layout.keys / name
        try:
            wanted = source.read_bytes()
        except OSError as error:
            raise PostgresError(f"replication certificate {source}: {error.strerror}") from None
        if target.exists() and target.read_bytes() == wanted:
            continue
        temporary = target.with_name(f".{name}.new")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(fd, wanted)
        finally:
            os.close(fd)
        temporary.rename(target)
        changed = True
    return changed
