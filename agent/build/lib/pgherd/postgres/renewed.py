"""Renewed certificates in a running PostgreSQL: seen from outside to be served, and replicated with.

What a reload did with certificates PostgreSQL says in its log only. So its port is asked, as a client would: the
request for TLS, then the handshake (https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import ssl
import struct

import psycopg

from pgherd.postgres.errors import PostgresError
from pgherd.postgres.sessions import Connection, bounded

REQUEST = struct.pack("!ii", 8, 80877103)
SHOWN = 10.0
"""Seconds for new connections to be served with a certificate after a reload."""
POLL = 0.1
ANSWER = 5.0


async def served(port: int, fingerprint: str) -> None:
    """Until the own server presents this certificate. Raises PostgresError after SHOWN seconds."""
    seen = "nothing"
    try:
        async with asyncio.timeout(SHOWN):
            while True:
                try:
                    seen = await presented(port)
                except (OSError, ssl.SSLError, EOFError) as error:
                    seen = f"nothing ({error})"
                if seen == fingerprint:
                    return
                await asyncio.sleep(POLL)
    except TimeoutError:
        raise PostgresError(
            f"PostgreSQL serves {seen[:16]} instead of {fingerprint[:16]} {SHOWN:g} s after a reload; its log says why"
        ) from None


async def presented(port: int) -> str:
    """Fingerprint of the certificate that a server on this machine presents. Raises OSError, EOFError, ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(REQUEST)
        if await reader.readexactly(1) != b"S":
            raise EOFError("it does not speak TLS")
        await writer.start_tls(context)
        shown: ssl.SSLObject = writer.get_extra_info("ssl_object")
        return hashlib.sha256(shown.getpeercert(binary_form=True) or b"").hexdigest()
    finally:
        writer.close()  # not abruptly: PostgreSQL would complain in its log
        with contextlib.suppress(OSError, ssl.SSLError, TimeoutError):
            async with asyncio.timeout(1.0):
                await writer.wait_closed()


async def connects(conninfo: str) -> None:
    """A connection with the certificate in use is accepted. Raises psycopg.Error, TimeoutError."""
    connection = await bounded(psycopg.AsyncConnection.connect(conninfo, autocommit=True), ANSWER)
    await connection.close()


async def restart_receiver(connection: Connection) -> None:
    """The startup process begins another one at once, from where this one ended.

    By a signal: to pg_terminate_backend a WAL receiver is no backend.
    """
    statement = b"SELECT pid FROM pg_stat_activity WHERE backend_type = 'walreceiver'"
    for row in await (await bounded(connection.execute(statement), ANSWER)).fetchall():
        with contextlib.suppress(ProcessLookupError):
            os.kill(row["pid"], signal.SIGTERM)
