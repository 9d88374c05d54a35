"""The data volume: one user at a time, across pid namespaces.

PostgreSQL's own interlock (postmaster.pid) does not see processes of another container. The lock is taken once
and never given back; postmaster and tools inherit the open file, so it is held until the last of them is gone.
"""

# pathlib stays out: every module costs the fence memory.
# ruff: noqa: PTH108, PTH110, PTH116, PTH118, PTH123
from __future__ import annotations

import fcntl
import os

from pgherd.fence.processes import Directory


class VolumeBusy(RuntimeError):
    """Another container still has the lock, or some of its processes do."""


class Volume:
    def __init__(self, lock: str, data_directory: str) -> None:
        self.lock = lock
        self.data_directory = data_directory
        self.fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self.fd)
            raise VolumeBusy(f"{lock} is locked by another container of this volume: {error.strerror}") from None

    def identity(self) -> Directory | None:
        """The data directory's device and inode now; None when there is none."""
        try:
            status = os.stat(self.data_directory)
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def is_standby(self) -> bool:
        return os.path.exists(os.path.join(self.data_directory, "standby.signal"))

    def remove_stale_locks(self) -> None:
        """After an empty killing pass: postmaster.pid and the socket's lock name processes that are gone.

        A new container reuses pid numbers, and PostgreSQL would take a stranger with that number for a postmaster.
        """
        pid_file = os.path.join(self.data_directory, "postmaster.pid")
        try:
            with open(pid_file) as file:
                lines = file.read().split("\n")
        except OSError:
            return
        stale = [pid_file]
        if len(lines) > 4 and lines[3].isdigit() and lines[4].startswith("/"):
            socket = os.path.join(lines[4], f".s.PGSQL.{lines[3]}")
            stale += [f"{socket}.lock", socket]
        for path in stale:
            try:
                os.unlink(path)
            except OSError:
                pass
