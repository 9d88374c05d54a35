"""The agent's end of the fence: the shared mapping (synchronous, never blocks) and requests over the socket.

Opened once when the agent starts, closed with the process. The fence outlives it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from pgherd.model.knowledge import Attempt
from pgherd.model.mapping import FD_VARIABLE, SOCKET_VARIABLE, boottime
from pgherd.model.mapping import Mapping as SharedMemory
from pgherd.postgres.errors import FenceRefused, FenceSilent

ANSWER = 5.0
"""Seconds within which the fence answers everything but `kill`."""
DEATH = 60.0
"""Seconds that a killing pass may take: a process in uninterruptible I/O ends only with its I/O."""
LARGEST_MESSAGE = 128 * 1024


class FenceState(msgspec.Struct, frozen=True):
    postgres_pid: int | None
    armed: bool
    overdue: bool
    dead: bool
    """The last killing pass was empty and nothing was started since."""
    writable: bool
    """Started writable (a promoted standby is not)."""
    kills: int = 0
    """How often the fence killed a PostgreSQL whose deadline had passed, in this container's life."""


class FenceLink:
    def __init__(self, memory: SharedMemory, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._memory = memory
        self._socket = connection
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._next = 0
        self._fds: list[int] = []
        self._reading = False
        self._exit_callbacks: list[Callable[[int, int], None]] = []
        self.volume_fd: int | None = None
        """The volume's lock as an open file, for tools that write there to inherit."""

    @classmethod
    def open(cls, environ: Mapping[str, str]) -> FenceLink:
        """The fence that started this process. Raises FenceSilent outside one."""
        try:
            fds = int(environ[FD_VARIABLE]), int(environ[SOCKET_VARIABLE])
        except KeyError as error:
            raise FenceSilent(f"{error} is not set: the agent runs only under pgherd.fence") from None
        for fd in fds:
            os.set_inheritable(fd, False)
        return cls(SharedMemory(fds[0]), socket.socket(fileno=fds[1]))

    # The mapping: plain memory.

    def beat(self) -> None:
        """I am alive."""
        self._memory.beat(boottime())

    def arm(self, deadline: float, lease_end: float) -> None:
        """Allow writing until `deadline` (boot time). Forward only after a confirmed write of this member (S4).

        `lease_end` is for the fence's account of a kill.
        """
        if deadline <= 0:
            self.withdraw()
            return
        later = boottime() < self._memory.deadline <= deadline
        self._memory.arm(deadline, lease_end)
        if not later:
            self._wake()

    def withdraw(self) -> None:
        """Take the permission back: what still runs on an armed holder is killed at once."""
        self._memory.withdraw()
        self._wake()

    def pause(self) -> None:
        """Disarm: only after a confirmed record of the own lease with the pause set."""
        self._memory.pause()

    def paused(self) -> bool:
        return self._memory.paused

    def deadline(self) -> float:
        return self._memory.deadline

    def lease_end(self) -> float:
        """When the lease behind the deadline ends, as it was said when it was armed."""
        return self._memory.lease_end

    def armed(self) -> bool:
        return self._memory.deadline > boottime()

    def record_attempt(self, attempt: Attempt) -> None:
        """Before a write leaves: an agent that starts anew inherits it as unanswered."""
        others = [kept for kept in self._memory.attempts() if kept["nonce"] != attempt.nonce]
        self._memory.write_attempts([*others, msgspec.to_builtins(attempt)])

    def forget_attempts(self, nonces: Iterable[str]) -> None:
        """These were answered or excluded by a later state."""
        gone = set(nonces)
        kept = self._memory.attempts()
        left = [attempt for attempt in kept if attempt["nonce"] not in gone]
        if len(left) != len(kept):
            self._memory.write_attempts(left)

    def attempts(self) -> tuple[Attempt, ...]:
        return tuple(msgspec.convert(attempt, Attempt) for attempt in self._memory.attempts())

    def _wake(self) -> None:
        """The fence sleeps until the deadline that it saw last: an earlier one must not wait for that (S4)."""
        with contextlib.suppress(OSError):  # its next look, in a fraction of a second, finds it all the same
            self._socket.send(b'{"verb": "look"}')

    # Requests.

    def on_exit(self, callback: Callable[[int, int], None]) -> None:
        """Call `callback(pid, status)` when postmaster or single-user recovery ends (negative status: the signal)."""
        self._exit_callbacks.append(callback)

    def forget_exit(self, callback: Callable[[int, int], None]) -> None:
        """Do not call it any more."""
        self._exit_callbacks.remove(callback)

    async def lock_volume(self, path: str, data_directory: str) -> None:
        """Take the volume for this container. Raises FenceRefused while another one has it."""
        await self._ask("lock", path=path, data_directory=data_directory)
        if self._fds:
            for fd in self._fds[:-1]:
                os.close(fd)
            if self.volume_fd is not None:
                os.close(self.volume_fd)
            self.volume_fd = self._fds.pop()
            self._fds.clear()

    async def start(self, argv: Sequence[str], env: Mapping[str, str], writable: bool) -> int:
        """Start the postmaster; its pid. The volume must be locked. Raises FenceRefused."""
        answer = await self._ask("start", argv=list(argv), env=dict(env), writable=writable)
        return int(answer["pid"])

    async def single(self, argv: Sequence[str], env: Mapping[str, str], output: str, limit: float) -> int:
        """Run `postgres --single` with its output in a file; its exit status. Killed after `limit` seconds."""
        ended: asyncio.Future[tuple[int, int]] = asyncio.get_running_loop().create_future()

        def note(pid: int, status: int) -> None:
            if not ended.done():
                ended.set_result((pid, status))

        self._exit_callbacks.append(note)
        try:
            await self._ask("single", argv=list(argv), env=dict(env), output=output)
            return (await asyncio.wait_for(ended, limit))[1]
        except (TimeoutError, asyncio.CancelledError):
            await self.kill()
            raise
        finally:
            self._exit_callbacks.remove(note)

    async def kill(self, limit: float = DEATH) -> None:
        """The killing pass. Returns when it was empty: only that means dead (S1)."""
        await self._ask("kill", limit=limit)

    async def signal(self, signum: int) -> None:
        """Send SIGHUP, SIGINT, SIGTERM, SIGQUIT or SIGUSR1 to the postmaster. Raises FenceRefused if there is none."""
        await self._ask("signal", signum=int(signal.Signals(signum)))

    async def state(self) -> FenceState:
        answer = await self._ask("state")
        return FenceState(
            postgres_pid=answer["pid"],
            armed=answer["armed"],
            overdue=answer["overdue"],
            dead=answer["dead"],
            writable=answer["writable"],
            kills=answer["kills"],
        )

    def close(self) -> None:
        if self._reading:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()
        self._memory.close()

    async def _ask(self, verb: str, limit: float = ANSWER, **arguments: Any) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        if not self._reading:
            loop.add_reader(self._socket.fileno(), self._read)
            self._reading = True
        self._next += 1
        number = self._next
        self._answers[number] = loop.create_future()
        try:
            self._socket.send(json.dumps({"id": number, "verb": verb, **arguments}).encode())
            answer = await asyncio.wait_for(self._answers[number], limit)
        except TimeoutError:
            raise FenceSilent(f"the fence did not answer {verb!r} within {limit:g} s") from None
        except OSError as error:
            raise FenceSilent(f"the fence's socket does not take {verb!r}: {error}") from None
        finally:
            self._answers.pop(number, None)
        if not answer["ok"]:
            raise FenceRefused(f"fence refused {verb}: {answer['error']}")
        return answer

    def _read(self) -> None:
        try:
            data, fds, _, _ = socket.recv_fds(self._socket, LARGEST_MESSAGE, 1)
        except BlockingIOError:
            return
        self._fds.extend(fds)
        if not data:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            return
        message: dict[str, Any] = json.loads(data)
        if message.get("event") == "postgres_exited":
            for callback in tuple(self._exit_callbacks):
                callback(int(message["pid"]), int(message["status"]))
            return
        answer = self._answers.get(message["id"])
        if answer and not answer.done():
            answer.set_result(message)
