"""JSON lines on stderr. A reader that stopped reading must never stop the fence: lines are dropped instead."""

from __future__ import annotations

import json
import os
import select
import time

LONGEST = 4096
"""PIPE_BUF: a pipe that is writable takes this much without waiting."""


class Log:
    """Writes through its own open file description where it may: non-blocking mode must not reach other processes.

    Where stderr is another user's (as container runtimes hand it out), it looks first whether the pipe has room.
    """

    def __init__(self) -> None:
        try:
            self._fd = os.open("/proc/self/fd/2", os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            self._fd = 2
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLOUT)

    def __call__(self, event: str, **fields: object) -> None:
        instant = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{time.time_ns() // 1_000_000 % 1000:03d}Z"
        line = json.dumps({"time": instant, "source": "fence", "event": event, **fields}) + "\n"
        try:
            if any(mask & select.POLLOUT for _, mask in self._poll.poll(0)):
                os.write(self._fd, line.encode()[:LONGEST])
        except OSError:
            pass
