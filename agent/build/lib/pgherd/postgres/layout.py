"""Where a member's files are. Derived from the static settings, never from configuration."""

from __future__ import annotations

import os
from pathlib import Path

from pgherd.model.settings import PostgresSettings, Volumes


class Layout:
    def __init__(
        self, settings: PostgresSettings, temporary: str | None = None, volumes: Volumes | None = None
    ) -> None:  # fmt: skip
        volumes = volumes or Volumes()
        self.settings = settings
        self.data = Path(settings.data_directory)
        self.new = Path(f"{settings.data_directory}.new")
        """A data directory in the making: renamed to `data` when complete, removed when found."""
        self.old = Path(f"{settings.data_directory}.old")
        """The replaced data directory until its divergent WAL was kept aside."""
        self.stray = Path(f"{settings.data_directory}.stray")
        """What a program of the user put in the data's place instead of `new`: removed when found."""
        self.state = Path(settings.state_directory)
        self.lock = self.state / "volume.lock"
        self.divergent = self.state / "divergent"
        self.rewinding = self.state / "rewinding"
        """Exists while pg_rewind changes the data directory: what it left half-done is no data (S5)."""
        self.making = self.state / "making"
        """Exists while a program of the user makes data: what is in the data's own place then is none."""
        self.socket = Path(settings.socket_directory)
        self.temporary = Path(temporary or os.environ.get("PGHERD_TMP") or self.socket.parent)
        self.keys = self.temporary / "replication"
        """Copies of the replication certificate with a mode that libpq accepts."""
        self.served = self.temporary / "served"
        """Copies of the server's certificate that have proved themselves."""
        self.remote_keys = self.temporary / "remote"
        """Of the certificate for the remote primary of a standby cluster."""
        self.fetching = self.temporary / "fetching"
        """What postgres/fetch.py looks at."""
        self.certificates = Path(settings.certificates)
        self.wal = self.data / "pg_wal"
        """A directory, or a link to one on the WAL volume."""
        wal = Path(volumes.wal_directory) if volumes.wal_directory else None
        self.wal_home = wal if wal is not None and wal.parent.is_dir() else None
        """There or beside it, on the WAL volume (postgres.outside)."""
        self.tablespaces = tuple(path for each in volumes.tablespaces if (path := Path(each)).parent.is_dir())
        # Settings may be newer than the pod: what it does not mount comes with the next one.
        self.incarnation = self.data / "pgherd_incarnation"

    def program(self, name: str) -> str:
        return str(Path(self.settings.bin_directory) / name)


def environment() -> dict[str, str]:
    """For PostgreSQL's programs: messages that can be parsed, no connection parameters of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C"}
