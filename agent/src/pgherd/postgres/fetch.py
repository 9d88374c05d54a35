"""`restore_command` as PostgreSQL runs it: the user's command, which never holds up a promotion or another source.

The startup process waits for this program and looks at nothing else meanwhile: neither at a promotion nor at a reload.
So it ends with 1 ("there is no such file") within a moment when `stop` exists, when `turn` changed since it began, or
after a bound, and takes the command and its children with it. Nobody signals it from outside: PostgreSQL would take its
death by a signal for its own order to stop. Only the standard library, imported sparingly: it runs for every segment.
"""

from __future__ import annotations

import os
import signal
import sys
import time

LIMIT = 60.0
"""Seconds for one file."""
STEP = 0.02


def changed(path: str) -> int:
    """When it was written last; 0 when it does not exist."""
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116 - pathlib takes longer to import than all the rest
    except OSError:
        return 0


def fetch(folder: str, command: str, limit: float = LIMIT) -> int:
    """The command's outcome: 0, or 1 for whatever else happens."""
    stop, turn = f"{folder}/stop", f"{folder}/turn"
    began, parent, seen = time.monotonic(), os.getppid(), changed(turn)
    if changed(stop):
        return 1
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.execv("/bin/sh", ["sh", "-c", command])
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return 0 if status == 0 else 1
        late = time.monotonic() - began > limit
        if late or changed(stop) or changed(turn) != seen or os.getppid() != parent:
            _end(child)
            return 1
        time.sleep(STEP)


def _end(child: int) -> None:
    """With everything that it started; before it has a group of its own, by itself."""
    for kill in (os.killpg, os.kill):
        try:
            kill(child, signal.SIGKILL)
        except OSError:
            continue
    os.waitpid(child, 0)


if __name__ == "__main__":
    sys.exit(fetch(sys.argv[1], sys.argv[2]))
