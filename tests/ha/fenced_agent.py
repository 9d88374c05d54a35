"""A tiny agent for tests of fence and PostgresServer: does what it is told over a unix socket, decides nothing.

One JSON object per line: {"do": name, ...}; the answer is {"ok": value} or {"error": class name, "text": message}.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import msgspec

from pgherd.model.knowledge import Attempt
from pgherd.model.mapping import boottime
from pgherd.model.settings import Identity, read_configuration, read_settings
from pgherd.model.slots import SlotOrders, Wanted, slot_name
from pgherd.model.synchronous import Rule
from pgherd.postgres.link import FenceLink
from pgherd.postgres.server import PostgresServer
from pgherd.postgres.source import Source


class Agent:
    def __init__(self) -> None:
        settings = read_settings(Path(os.environ["PGHERD_SETTINGS"]).read_text())
        identity = Identity(os.environ["PGHERD_MEMBER"], "test", "uid", "127.0.0.1")
        self.link = FenceLink.open(os.environ)
        self.server = PostgresServer(settings, identity, self.link)
        self.ending = asyncio.Event()
        self.control = Path(os.environ["PGHERD_CONTROL"])
        self.control.unlink(missing_ok=True)

    async def run(self) -> None:
        if os.environ.get("PGHERD_ON_TERM") == "ignore":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        else:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.ending.set)
        beating = asyncio.create_task(self.beat())
        server = await asyncio.start_unix_server(self.serve, self.control)
        await self.ending.wait()
        server.close()
        await self.server.stop(10)
        beating.cancel()

    async def beat(self) -> None:
        while True:
            self.link.beat()
            await asyncio.sleep(0.1)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            request = json.loads(line)
            try:
                answer: dict[str, Any] = {"ok": await self.do(request.pop("do"), request)}
            except Exception as error:
                answer = {"error": type(error).__name__, "text": str(error)}
            writer.write(msgspec.json.encode(answer) + b"\n")
            await writer.drain()
        writer.close()

    async def do(self, verb: str, given: dict[str, Any]) -> Any:
        if own := getattr(self, f"do_{verb}", None):
            return await own(**given)
        if source := given.get("source"):
            given["source"] = msgspec.convert(source, Source)
        if "configuration" in given:
            given["configuration"] = read_configuration(json.dumps(given["configuration"]))
        if "rule" in given:
            given["rule"] = msgspec.convert(given["rule"], Rule)
        return await getattr(self.server, verb)(**given)

    async def do_pid(self) -> int:
        return os.getpid()

    async def do_arm(self, seconds: float, lease: float = 0.0) -> float:
        deadline = boottime() + seconds
        self.link.arm(deadline, deadline + lease)
        return deadline

    async def do_keep_slots(self, names: list[str]) -> dict[str, int]:
        """As a primary keeps members' slots; their positions."""
        members = tuple(slot_name(member) for member in self.server._settings.members)
        orders = SlotOrders(True, 1, tuple(Wanted(name) for name in names), members=members)
        return (await self.server.keep_slots(orders, None)).positions

    async def do_initialise(self) -> str:
        """With a deadline, as a holder has one (S7); the one of before stands again afterwards."""
        before = self.link.deadline()
        await self.do_arm(60)
        identifier = await self.server.initialise()
        self.link.arm(before, before)
        return identifier

    async def do_withdraw(self) -> None:
        self.link.withdraw()

    async def do_pause(self) -> None:
        self.link.pause()

    async def do_deadline(self) -> float:
        return self.link.deadline()

    async def do_state(self) -> Any:
        return msgspec.to_builtins(await self.link.state())

    async def do_attempt(self, **attempt: Any) -> None:
        self.link.record_attempt(msgspec.convert(attempt, Attempt))

    async def do_forget(self, nonces: list[str]) -> None:
        self.link.forget_attempts(nonces)

    async def do_attempts(self) -> Any:
        return msgspec.to_builtins(self.link.attempts())

    async def do_sleeper(self) -> int:
        """A child that works where only one may work, like a half-done pg_basebackup."""
        process = await asyncio.create_subprocess_exec("sleep", "600", start_new_session=True)
        return process.pid

    async def do_sql(self, sql: str) -> Any:
        connection = await self.server.connection()
        try:
            cursor = await connection.execute(sql.encode())
            return [list(row.values()) for row in await cursor.fetchall()] if cursor.description else []
        finally:
            await connection.close()


async def main() -> None:
    await Agent().run()


if __name__ == "__main__":
    asyncio.run(main())
