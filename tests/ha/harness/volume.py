"""A volume of its own for a member's data: of limited size, and it can hang."""

from __future__ import annotations

import os
from pathlib import Path

from tests.ha.harness.net import run
from tests.ha.harness.python import USER


class Volume:
    """An ext4 in a file, mounted before the member starts; it outlives containers as a claim outlives pods."""

    def __init__(self, path: Path, megabytes: int) -> None:
        self.path = path
        self._ballast = path / "ballast"
        image = path.with_suffix(".ext4")
        path.mkdir(exist_ok=True)
        with image.open("wb") as file:
            file.truncate(megabytes * 1024 * 1024)
        run("mkfs.ext4", "-q", "-m", "0", str(image))
        run("mount", "-o", "loop", str(image), str(path))
        (path / "lost+found").rmdir()
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

    def hang(self) -> None:
        """Every write and sync waits, as with storage that does not answer; not even SIGKILL ends it."""
        run("fsfreeze", "--freeze", str(self.path))

    def answer(self) -> None:
        run("fsfreeze", "--unfreeze", str(self.path), check=False)

    def unmount(self) -> None:
        self.answer()
        run("umount", "-l", str(self.path))
