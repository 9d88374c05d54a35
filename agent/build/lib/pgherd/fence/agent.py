"""The one agent process: started with the mapping and a socket, watched by its heartbeat, started again when it ends.

Lives from `start` to `ended`; the mapping outlives it, so the next agent inherits deadline and unanswered writes.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Mapping as Environ
from typing import Any

from pgherd.fence import processes
from pgherd.model.mapping import FD_VARIABLE, SOCKET_VARIABLE

BACKOFF_LEAST = 0.2
BACKOFF_MOST = 2.0
STEADY = 10.0
"""Seconds of life after which the backoff starts over."""
START_GRACE = 30.0
"""Seconds that a new agent has for its first heartbeat."""
LARGEST_MESSAGE = 128 * 1024


class Agent:
    def __init__(self, environ: Environ[str, str], mapping_fd: int) -> None:
        self._environ = environ
        self._mapping_fd = mapping_fd
        command = environ.get("PGHERD_AGENT_COMMAND")
        self._argv: list[str] = json.loads(command) if command else [sys.executable, "-m", "pgherd.runtime"]
        self.silence = float(environ.get("PGHERD_AGENT_SILENCE", "5"))
        """Seconds without a heartbeat after which the agent counts as frozen."""
        self.pid: int | None = None
        self.socket: socket.socket | None = None
        self.started = 0.0
        self.start_after = 0.0
        self._backoff = BACKOFF_LEAST

    def start(self, now: float) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        environ = dict(self._environ)
        environ[FD_VARIABLE] = str(self._mapping_fd)
        environ[SOCKET_VARIABLE] = str(theirs.fileno())
        self.pid = processes.spawn(self._argv, environ, (self._mapping_fd, theirs.fileno()))
        theirs.close()
        self.socket = ours
        self.started = now

    def ended(self, now: float) -> None:
        self.pid = None
        if self.socket:
            self.socket.close()
            self.socket = None
        if now - self.started > STEADY:
            self._backoff = BACKOFF_LEAST
        self.start_after = now + self._backoff
        self._backoff = min(self._backoff * 2, BACKOFF_MOST)

    def frozen(self, heartbeat: float, awake: float, now: float) -> bool:
        """Whether a running agent is silent for too long; `awake` is when the fence itself last came back to life."""
        first = self.started + max(START_GRACE - self.silence, 0.0) if heartbeat < self.started else 0.0
        return self.pid is not None and now - max(heartbeat, awake, first) > self.silence

    def receive(self) -> list[dict[str, Any]]:
        """Requests that have arrived."""
        requests: list[dict[str, Any]] = []
        while self.socket:
            try:
                data = self.socket.recv(LARGEST_MESSAGE)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self.socket.close()
                self.socket = None
                break
            requests.append(json.loads(data))
        return requests

    def tell(self, message: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
        """Best effort: an agent that does not read is found by its heartbeat, and asks for the state when it starts."""
        if self.socket:
            try:
                socket.send_fds(self.socket, [json.dumps(message).encode()], list(fds))
            except OSError:
                pass

    def signal(self, signum: int) -> None:
        if self.pid:
            try:
                os.kill(self.pid, signum)
            except ProcessLookupError:
                pass
