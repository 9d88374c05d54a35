"""Writes through the pooler until /tmp/stop is there; then says what it saw: rows, errors, the longest wait."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import psycopg

TLS = "sslmode=verify-full sslrootcert=/ca/ca.crt connect_timeout=30"
USER = f"user={os.environ['DB_USER']} password={os.environ['DB_PASSWORD']} dbname={os.environ['DB_NAME']}"


def connect(host: str) -> psycopg.Connection:
    return psycopg.connect(f"host={host} port=5432 {USER} {TLS}", autocommit=True, prepare_threshold=None)


def main() -> None:
    errors, rows, longest = [], 0, 0.0
    with connect(os.environ["POOLER"]) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS seen (n int, at timestamptz DEFAULT now())")
        last = time.monotonic()
        while not Path("/tmp/stop").exists():
            try:
                connection.execute("INSERT INTO seen VALUES (%s)", (rows,))
                rows += 1
            except psycopg.Error as error:
                errors.append(str(error))
                break
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
            Path("/tmp/rows").write_text(str(rows))
            time.sleep(0.005)
        kept = connection.execute("SELECT count(*) FROM seen").fetchone() if not errors else None
    with connect(os.environ["POOLER_RO"]) as connection:
        replica = connection.execute("SELECT pg_is_in_recovery()").fetchone()
    said = {"rows": rows, "kept": kept and kept[0], "errors": errors, "longest": longest, "replica": replica}
    Path("/tmp/said").write_text(json.dumps(said))
    time.sleep(3600)


main()
