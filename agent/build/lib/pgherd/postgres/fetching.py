"""The agent's end of `restore_command` (fetch.py): its command line, and the files that make it stand aside."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from pgherd.postgres import fetch
from pgherd.postgres.layout import Layout

REMOTE_MARK = " --remote-primary"
"""At the end of the line of who follows the remote primary: how an observation tells it where there is no host."""


def command_line(layout: Layout, command: str, remote: bool) -> str:
    """For postgresql.conf; PostgreSQL puts in %f, %p and %r wherever they are."""
    if not command:
        return ""
    words = [sys.executable, "-I", "-S", str(Path(fetch.__file__)), str(layout.fetching), command]
    quoted = [shlex.quote(word) for word in words]
    for index in range(len(quoted) - 1):
        quoted[index] = quoted[index].replace("%", "%%")
    return " ".join(quoted) + (REMOTE_MARK if remote else "")


def stop(layout: Layout) -> None:
    """Nothing is fetched any more: a promotion waits for no archive."""
    layout.fetching.mkdir(mode=0o700, parents=True, exist_ok=True)
    (layout.fetching / "stop").touch()


def go(layout: Layout) -> None:
    layout.fetching.mkdir(mode=0o700, parents=True, exist_ok=True)
    (layout.fetching / "stop").unlink(missing_ok=True)


def turn(layout: Layout) -> None:
    """What is being fetched now is given up, and what comes next is not waited for: there is another source to ask."""
    layout.fetching.mkdir(mode=0o700, parents=True, exist_ok=True)
    (layout.fetching / "sick").write_text("")
    (layout.fetching / "turn").write_text("")
