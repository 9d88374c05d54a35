"""The data incarnation: an id in the data directory, new after every initdb, clone, rewind or restore.

An entry of the lease with another incarnation does not count: a member that came back empty is not who it was.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

NAME = "pgherd_incarnation"


def read(data: Path) -> str | None:
    try:
        return (data / NAME).read_text().strip() or None
    except OSError:
        return None


def renew(data: Path) -> str:
    """Durable when it returns. A copied or rewound directory brings its source's id along: replaced here."""
    value = secrets.token_hex(8)
    write_durably(data / NAME, f"{value}\n")
    return value


def write_durably(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace a file so that a crash leaves the old or the new one, never half of it."""
    temporary = path.with_name(f"{path.name}.new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        os.fchmod(fd, mode)
        os.write(fd, text.encode())
        os.fsync(fd)
    finally:
        os.close(fd)
    temporary.rename(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
