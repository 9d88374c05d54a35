"""Two clients that verify the server: one stays connected, one connects for each row. A line for every failure.

Runs in a pod with the agent's image: it imports nothing of ours. URI names the server; /cluster/ca.crt is mounted, and
copied every second: who opens it while the kubelet changes the folder may not find it.
"""

from __future__ import annotations

import os
import pathlib
import threading
import time
from typing import Any

import psycopg

MOUNTED, AUTHORITY, FIRST = (pathlib.Path(name) for name in ("/cluster/ca.crt", "/data/ca.crt", "/data/first.crt"))
counts = {"stays": 0, "anew": 0}


def connect() -> psycopg.Connection[Any]:
    return psycopg.connect(
        os.environ["URI"], autocommit=True, sslmode="verify-full", sslrootcert=str(AUTHORITY), connect_timeout=5
    )


def write(name: str) -> None:
    session = None
    while True:
        try:
            session = session or connect()
            session.execute("INSERT INTO written VALUES (%s, %s)", (name, counts[name] + 1))
            counts[name] += 1
        except psycopg.Error as error:
            print(f"FAILED {name} after {counts[name]} rows: {error}", flush=True)
            session = None
            time.sleep(1)
        if name == "anew" and session is not None:
            session.close()
            session = None
        time.sleep(0.05)


def copy() -> int:
    """How many authorities the mounted file has; from now on they are trusted."""
    try:
        text = MOUNTED.read_text()
    except FileNotFoundError:
        return copy()
    new = AUTHORITY.with_suffix(".new")
    new.write_text(text)
    new.replace(AUTHORITY)
    return text.count("BEGIN CERTIFICATE")


def main() -> None:
    copy()
    FIRST.write_bytes(AUTHORITY.read_bytes())
    with connect() as session:
        session.execute("CREATE TABLE IF NOT EXISTS written (client text, row bigint, PRIMARY KEY (client, row))")
    for name in counts:
        threading.Thread(target=write, args=(name,), daemon=True).start()
    while True:
        print(f"roots {copy()} rows {counts['stays']} {counts['anew']}", flush=True)
        time.sleep(1)


main()
