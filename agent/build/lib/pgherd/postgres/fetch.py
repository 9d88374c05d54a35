"""`restore_command` as PostgreSQL runs it: the user's command, which never holds up a promotion or another source.

The startup process waits for this program and looks at nothing else meanwhile: neither at a promotion nor at a reload.
So it ends with 1 ("there is no such file") within a moment when `stop` exists, when `turn` changed since it began, or
after a bound, and takes the command and its children with it. On its way to another source PostgreSQL asks for one file
of history after the other: for a while after a fetch was given up (`sick`) each of them gets only a second.
Nobody signals it from outside: PostgreSQL would take its death by a signal for its own order to stop. Only the standard
library, imported sparingly: it runs for every segment.
"""

from __future__ import annotations

import os
import signal
import sys
import time

LIMIT = 60.0
"""Seconds for one file."""
SHORT = 1.0
"""The same while the archive is known to hang."""
SICK = 10.0
"""Seconds after which it may have recovered."""
STEP = 0.02


def changed(path: str) -> int:
    """When it was written last; 0 when it does not exist."""
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116 - pathlib takes longer to import than all the rest
    except OSError:
        return 0


def fetch(folder: str, command: str, limit: float = LIMIT) -> int:
    """The command's outcome: 0, or 1 for whatever else happens."""
    stop, turn, sick = f"{folder}/stop", f"{folder}/turn", f"{folder}/sick"
    if time.time() - changed(sick) / 1e9 < SICK:
        limit = min(limit, SHORT)
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
            _unmark(sick)
            return 0 if status == 0 else 1
        late = time.monotonic() - began > limit
        if late or changed(stop) or changed(turn) != seen or os.getppid() != parent:
            _end(child)
            with open(sick, "w"):  # noqa: PTH123
                return 1
        time.sleep(STEP)


def _unmark(path: str) -> None:
    try:
        os.unlink(path)  # noqa: PTH108
    except OSError:
        pass


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
