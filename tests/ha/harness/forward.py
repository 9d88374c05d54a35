"""A member's way to the API server: a listener on its own loopback, forwarded from outside. Cut, it goes silent."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import Any

from tests.ha.harness.net import inside


class Forwarders:
    """One event loop in a thread for all members' forwarders."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="forwarders", daemon=True)
        self._thread.start()
        self._open: dict[str, set[asyncio.Task[None]]] = {}
        self._silent: set[str] = set()
        self._refused: set[str] = set()
        self._servers: dict[str, asyncio.Server] = {}

    def add(self, namespace: str) -> None:
        """Listen on 127.0.0.1:<port of the API> inside that namespace."""

        def listen() -> socket.socket:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", self.port))
            listener.listen(64)
            return listener

        self._open[namespace] = set()
        self._call(self._serve(namespace, inside(namespace, listen)))

    def cut(self, namespace: str) -> None:
        """From now on no byte passes, in either direction, and nobody is told."""
        self._silent.add(namespace)

    def refuse(self, namespace: str) -> None:
        """From now on connections are reset, the open ones at once: the server's process is gone."""
        self._refused.add(namespace)
        self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in self._open[namespace]])

    def mend(self, namespace: str) -> None:
        """New connections pass again; what was cut ends."""
        self._silent.discard(namespace)
        self._refused.discard(namespace)
        self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in self._open[namespace]])

    def close(self) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _call(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _end(self) -> None:
        for server in self._servers.values():
            server.close()
        tasks = [task for open_tasks in self._open.values() for task in open_tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, namespace: str, listener: socket.socket) -> None:
        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if namespace in self._refused:
                writer.transport.abort()
                return
            task = asyncio.current_task()
            assert task is not None
            self._open[namespace].add(task)
            try:
                with contextlib.suppress(OSError, asyncio.CancelledError):
                    await self._connection(namespace, reader, writer)
            finally:
                self._open[namespace].discard(task)
                writer.close()

        self._servers[namespace] = await asyncio.start_server(accepted, sock=listener)

    async def _connection(self, namespace: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._passable(namespace)
        upstream, onward = await asyncio.open_connection(self.host, self.port)
        try:
            copies = [
                asyncio.ensure_future(self._copy(namespace, reader, onward)),
                asyncio.ensure_future(self._copy(namespace, upstream, writer)),
            ]
            try:
                await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for copy in copies:
                    copy.cancel()
                await asyncio.gather(*copies, return_exceptions=True)
        finally:
            onward.close()

    async def _passable(self, namespace: str) -> None:
        """Not an event: cutting and mending come from another thread."""
        while namespace in self._silent:  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    async def _copy(self, namespace: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._passable(namespace)
            writer.write(data)
            await writer.drain()
