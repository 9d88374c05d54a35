"""What the pooler's process asks: PgBouncer's console over its socket, and the server where clients reach it.

https://www.pgbouncer.org/usage.html#admin-console. Each question is one short connection; each is bounded.
"""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg

from pgherd.model.certificate import POOLER_USER
from pgherd.pooler.settings import PoolerSettings

CONSOLE = "pgbouncer"
NOT_PAUSED = "not paused"

Identity = tuple[str, str]
"""Address and start time of one run of a server."""

WHO = """
    SELECT coalesce(host(inet_server_addr()), ''), pg_postmaster_start_time()::text
    WHERE NOT pg_is_in_recovery() AND current_setting('default_transaction_read_only') = 'off'
"""


async def console(settings: PoolerSettings, command: str, user: str) -> None:
    """Carry out one command. Raises psycopg.Error."""
    connection = await psycopg.AsyncConnection.connect(
        host=settings.socket_directory, port=settings.console_port, dbname=CONSOLE, user=user, autocommit=True
    )
    try:
        await connection.execute(command.encode())
    finally:
        await connection.close()


async def resume(settings: PoolerSettings, user: str) -> None:
    """End a pause, also one that still waits for transactions; nothing to do without one."""
    try:
        await console(settings, "RESUME", user)
    except psycopg.errors.ProtocolViolation as error:
        if NOT_PAUSED not in str(error):
            raise


async def writable(settings: PoolerSettings, limit: float) -> Identity | None:
    """Which server accepts writes where clients are led; None when there is none within `limit` seconds."""
    folder = settings.used_certificates
    parameters: dict[str, Any] = {
        "host": settings.host, "port": settings.port, "dbname": "postgres", "user": POOLER_USER, "connect_timeout": 2,
        "sslmode": "verify-full", "sslcert": f"{folder}/tls.crt", "sslkey": f"{folder}/tls.key",
        "sslrootcert": f"{folder}/ca.crt", "application_name": "pgherd pooler",
    }  # fmt: skip
    try:
        async with asyncio.timeout(limit):
            connection = await psycopg.AsyncConnection.connect(**parameters, autocommit=True)
            try:
                row = await (await connection.execute(WHO)).fetchone()
            finally:
                await connection.close()
    except (psycopg.Error, OSError, TimeoutError):
        return None
    return (str(row[0]), str(row[1])) if row else None
