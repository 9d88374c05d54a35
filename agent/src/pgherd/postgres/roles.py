"""The product's own roles, for replication and for poolers: made on a writable start, replicas get them from there.

Both log in with a client certificate only (pg_hba), so they have no password.
"""

from __future__ import annotations

from pgherd.model.certificate import POOLER_USER, REPLICATION_USER
from pgherd.postgres.sessions import Connection

FUNCTIONS = (
    "pg_ls_dir(text, boolean, boolean)",
    "pg_stat_file(text, boolean)",
    "pg_read_binary_file(text)",
    "pg_read_binary_file(text, bigint, bigint, boolean)",
)
"""What pg_rewind calls on its source: https://www.postgresql.org/docs/current/app-pgrewind.html#id-1.9.5.10.7"""


VERIFIERS = f"""
DO $do$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{POOLER_USER}') THEN
    CREATE ROLE {POOLER_USER} LOGIN;
  END IF;
  IF to_regprocedure('pgbouncer.get_auth(text)') IS NULL THEN
    CREATE SCHEMA IF NOT EXISTS pgbouncer;
    CREATE FUNCTION pgbouncer.get_auth(IN username text, OUT role text, OUT verifier text) RETURNS SETOF record
      LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
      AS $sql$
        SELECT rolname::text, rolpassword FROM pg_authid
        WHERE rolname = $1 AND rolcanlogin AND NOT rolsuper AND NOT rolreplication
          AND (rolvaliduntil IS NULL OR rolvaliduntil > now())
      $sql$;
    REVOKE ALL ON FUNCTION pgbouncer.get_auth(text) FROM PUBLIC;
  END IF;
  GRANT USAGE ON SCHEMA pgbouncer TO {POOLER_USER};
  GRANT EXECUTE ON FUNCTION pgbouncer.get_auth(text) TO {POOLER_USER};
END $do$"""
"""How a pooler learns the verifier of a user who knocks: not of superusers, nor of roles that replicate."""


async def ensure(connection: Connection, pooler: bool) -> None:
    """Idempotent. `pooler`: the cluster has some."""
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
    if pooler:
        await connection.execute(VERIFIERS.encode())
