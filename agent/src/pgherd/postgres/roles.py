"""The replication role: made on the first writable start, brought to every replica by replication."""

from __future__ import annotations

from pgherd.postgres.render import REPLICATION_USER
from pgherd.postgres.sessions import Connection

FUNCTIONS = (
    "pg_ls_dir(text, boolean, boolean)",
    "pg_stat_file(text, boolean)",
    "pg_read_binary_file(text)",
    "pg_read_binary_file(text, bigint, bigint, boolean)",
)
"""What pg_rewind calls on its source: https://www.postgresql.org/docs/current/app-pgrewind.html#id-1.9.5.10.7"""


async def ensure(connection: Connection) -> None:
    """Idempotent. It logs in with a client certificate only (pg_hba), so it has no password."""
    await connection.execute("SET synchronous_commit = local")
    await connection.execute(
        f"""
        DO $$ BEGIN
          IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{REPLICATION_USER}') THEN
            CREATE ROLE {REPLICATION_USER} LOGIN REPLICATION;
          END IF;
        END $$""".encode()
    )
    for function in FUNCTIONS:
        await connection.execute(f"GRANT EXECUTE ON FUNCTION pg_catalog.{function} TO {REPLICATION_USER}".encode())
    if connection.info.server_version >= 150000:
        await connection.execute(f"GRANT pg_checkpoint TO {REPLICATION_USER}".encode())
