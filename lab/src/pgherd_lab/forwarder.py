"""The way from the machine to the lab's API: bytes from a listener on 127.0.0.1 to an address inside the namespace.

Started with the listening socket as descriptor 3, already inside the control plane's network namespace: a socket
belongs to the namespace that it was made in, so the listener stays outside and every connection is made inside.
Lives from `up` to `down`. Imports nothing of the lab, so that it starts at once.
"""

from __future__ import annotations

import asyncio
import socket
import sys

CHUNK = 65536


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy one direction until its end, then pass the end on."""
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.close()


async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int) -> None:
    """One connection, both directions; a refused target closes it."""
    try:
        back, target = await asyncio.wait_for(asyncio.open_connection(host, port), 10)
    except (OSError, TimeoutError):
        writer.close()
        return
    try:
        await asyncio.gather(pump(reader, target), pump(back, writer))
    finally:
        writer.close()
        target.close()


async def serve(listener: socket.socket, host: str, port: int) -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await forward(reader, writer, host, port)

    server = await asyncio.start_server(accept, sock=listener)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(socket.socket(fileno=3), sys.argv[1], int(sys.argv[2])))
