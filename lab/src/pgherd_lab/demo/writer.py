"""One client that writes for ever, and a file that says what it was told.

Runs inside a pod on the lab with the agent's image (python3 and psycopg are in it): it imports nothing of ours.
The environment names the server: URI, and HOST with HOSTADDR to reach one member by its pod's address.
`writer.py write RUN FILE` appends one JSON line a row; `writer.py ids RUN` prints the rows that the table has.
Times are seconds of the machine's boot-time clock, which all pods of a lab share; `wall` is for people and receipts.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import psycopg

OPTIONS: dict[str, Any] = {
    "sslmode": "verify-full",
    "sslrootcert": "/cluster/ca.crt",
    "connect_timeout": 2,
    "tcp_user_timeout": 2000,
    "keepalives_idle": 1,
    "keepalives_interval": 1,
    "keepalives_count": 2,
    "target_session_attrs": "read-write",
    "application_name": "writer",
}

TABLE = """CREATE TABLE IF NOT EXISTS writes
 (run text, id bigint, sent double precision, PRIMARY KEY (run, id))"""

INSERT = """INSERT INTO writes VALUES (%s, %s, %s)
 RETURNING pg_current_wal_insert_lsn()::text, substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8),
  host(inet_server_addr())"""


def boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def connect() -> psycopg.Connection[Any]:
    member: dict[str, Any] = {key: os.environ[key.upper()] for key in ("host", "hostaddr") if key.upper() in os.environ}
    connection = psycopg.connect(os.environ["URI"], autocommit=True, **OPTIONS, **member)
    connection.prepare_threshold = None
    return connection


def write_row(connection: psycopg.Connection[Any], run: str, row: int) -> dict[str, Any]:
    """One transaction; the line that is kept of it."""
    sent = boottime()
    answer = connection.execute(INSERT, (run, row, sent)).fetchone()
    done = boottime()
    assert answer is not None
    lsn, timeline, address = answer
    return {
        "id": row, "sent": sent, "acknowledged": done, "wall": time.time(),
        "lsn": lsn, "timeline": int(timeline, 16), "address": address,
    }  # fmt: skip


def write(run: str, path: str) -> None:
    """Insert rows 1, 2, 3... each once; an error is kept too, and the row counts as never acknowledged."""
    connection: psycopg.Connection[Any] | None = None
    row = 0
    with open(path, "a", buffering=1) as file:  # noqa: PTH123 - line buffered, one open for the whole life
        while True:
            row += 1
            try:
                if connection is None:
                    connection = connect()
                    connection.execute(TABLE)
                line = write_row(connection, run, row)
            except psycopg.Error as error:
                line = {"id": row, "failed": boottime(), "wall": time.time(), "error": str(error).strip()}
                if connection is not None:
                    connection.close()
                connection = None
            file.write(json.dumps(line) + "\n")
            time.sleep(0.01 if connection else 0.05)


def ids(run: str) -> None:
    with connect() as connection:
        for (row,) in connection.execute("SELECT id FROM writes WHERE run = %s ORDER BY id", (run,)):
            print(row)


if __name__ == "__main__":
    verbs: dict[str, Callable[..., None]] = {"write": write, "ids": ids}
    verbs[sys.argv[1]](*sys.argv[2:])
