"""A volume of limited size, and what fills it."""

from __future__ import annotations

import os
from pathlib import Path

from tests.ha.harness.net import run
from tests.ha.harness.python import USER


class Small:
    """A file system of its own at a member's data volume; made before the member starts, it outlives containers."""

    def __init__(self, path: Path, megabytes: int) -> None:
        self.path = path
        self._ballast = path / "ballast"
        path.mkdir(exist_ok=True)
        run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "pgherd-test", str(path))
        run("chown", f"{USER}:{USER}", str(path))

    def free(self) -> int:
        """Bytes."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def fill(self) -> None:
        with self._ballast.open("ab") as file:
            os.posix_fallocate(file.fileno(), file.tell(), self.free())

    def empty(self) -> None:
        self._ballast.unlink()

    def unmount(self) -> None:
        run("umount", "-l", str(self.path))
