"""A volume of its own for a member's data: of limited size, and it can hang."""

from __future__ import annotations

import contextlib
from pathlib import Path

from tests.ha.harness.net import run
from tests.ha.harness.python import USER

MEBIBYTE = 1024 * 1024


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

    def fill(self) -> None:
        """To the last block."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (MEBIBYTE, 4096):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))

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
