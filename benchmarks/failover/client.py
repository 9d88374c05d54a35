"""The client of a run, inside a pod: writers, and a watcher that knows when the cluster is whole.

Imports nothing of ours. It speaks libpq directly, because every wait must end at its own deadline: a library that
cancels politely hangs on a server that is silent. The environment has PGUSER, PGPASSWORD, PGDATABASE, SERVICE (an
address) and MEMBERS (JSON, name -> host name). All times are seconds of the boot-time clock, which the machine's
pods share.

`watch` is the pod's main process and writes /data/status; `write RUN` appends to /data/RUN.jsonl until
/data/RUN.stop exists; `ids RUN` prints `writer row` of every row that the table has.
"""

from __future__ import annotations

import json
import os
import select
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from psycopg import OperationalError, pq

DATA = Path("/data")
CONNECT, ANSWER = 0.5, 1.0
"""Seconds that a client waits for a connection, and for an answer, before it tries anew."""
PATIENCE = 600.0
"""The same for the session from before the fault: it waits as long as its server might come back."""
PAUSE, MEMBER_PAUSE, RETRY = 0.01, 0.04, 0.05
READ_ONLY = "25006"

TABLES = """CREATE TABLE IF NOT EXISTS writes (run text, writer text, id bigint, PRIMARY KEY (run, writer, id));
CREATE TABLE IF NOT EXISTS beat (one bool PRIMARY KEY, at double precision)"""
BEAT = "INSERT INTO beat VALUES (true, {at}) ON CONFLICT (one) DO UPDATE SET at = EXCLUDED.at"
SEEN = "SELECT at, pg_is_in_recovery() FROM beat"
INSERT = """INSERT INTO writes VALUES ('{run}', '{writer}', {row})
 RETURNING substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8), host(inet_server_addr())"""


class Lost(Exception):
    """No connection, or none any more."""


class Refused(Exception):
    """An error of the server; the connection goes on."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code


def now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def ready(connection: Any, wanted: str, end: float) -> None:
    """Wait until the socket can be read or written. Raises Lost at the deadline."""
    readers = [connection.socket] if wanted == "read" else []
    writers = [connection.socket] if wanted == "write" else []
    if now() > end or not any(select.select(readers, writers, [], max(0.0, end - now()))):
        connection.finish()
        raise Lost("no answer in time")


class Session:
    """One connection with a deadline for everything."""

    def __init__(self, address: str, limit: float = CONNECT) -> None:
        kind = "hostaddr" if address.replace(".", "").isdigit() else "host"
        self.connection = pq.PGconn.connect_start(f"{kind}={address} sslmode=prefer connect_timeout=0".encode())
        end = now() + limit
        while True:
            if self.connection.status == pq.ConnStatus.BAD:
                raise self._broken()
            state = self.connection.connect_poll()
            if state == pq.PollingStatus.OK:
                return
            if state == pq.PollingStatus.FAILED:
                raise self._broken()
            ready(self.connection, "read" if state == pq.PollingStatus.READING else "write", end)

    def _broken(self) -> Lost:
        text = self.connection.error_message.decode(errors="replace").strip()
        self.connection.finish()
        return Lost(text)

    def query(self, text: str, limit: float = ANSWER) -> list[list[str]]:
        """Rows of the last statement. Raises Refused for the server's errors, Lost for the rest."""
        end = now() + limit
        try:
            self.connection.send_query(text.encode())
            rows: list[list[str]] = []
            while True:
                while self.connection.is_busy():
                    ready(self.connection, "read", end)
                    self.connection.consume_input()
                result = self.connection.get_result()
                if result is None:
                    return rows
                rows = self._rows(result)
        except OperationalError:
            raise self._broken() from None

    def _rows(self, result: Any) -> list[list[str]]:
        if result.status == pq.ExecStatus.FATAL_ERROR:
            code = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
            if not code or code.startswith(("57P", "08")):
                raise self._broken()
            while self.connection.get_result() is not None:
                continue
            raise Refused(code, result.error_message.decode(errors="replace").strip())
        return [
            [(result.get_value(row, column) or b"").decode() for column in range(result.nfields)]
            for row in range(result.ntuples)
        ]

    def close(self) -> None:
        self.connection.finish()


class Writers:
    """All writers of one run, each in a thread, into one file."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.stop = DATA / f"{run}.stop"
        self.file = (DATA / f"{run}.jsonl").open("a", buffering=1)
        self.lock = threading.Lock()

    def note(self, **line: Any) -> None:
        text = json.dumps(line) + "\n"
        with self.lock:
            self.file.write(text)

    def insert(self, session: Session, writer: str, row: int, limit: float) -> None:
        sent = now()
        answer = session.query(INSERT.format(run=self.run, writer=writer, row=row), limit)
        timeline, address = answer[0]
        self.note(writer=writer, id=row, sent=sent, acked=now(), timeline=int(timeline, 16), address=address)

    def ended(self) -> bool:
        return self.stop.exists()

    def reconnecting(self, writer: str, address: str, pause: float) -> None:
        """Writes for ever; a new connection after every failure but a refusal to write at a member."""
        session, row = None, 0
        while not self.ended():
            row += 1
            wait = RETRY
            try:
                session = session or Session(address)
                self.insert(session, writer, row, ANSWER)
                wait = pause
            except Refused as error:
                assert session is not None
                if error.code != READ_ONLY or writer == "service":
                    self.failed(writer, error)
                    session.close()
                    session = None
            except Lost as error:
                self.failed(writer, error)
                session = None
            time.sleep(wait)

    def failed(self, writer: str, error: Exception) -> None:
        if writer == "service":
            self.note(writer=writer, failed=now(), error=str(error)[:200])

    def faithful(self, writer: str, address: str, pause: float) -> None:
        """Writes on one session from before the fault until that session is gone."""
        row = 0
        try:
            session = Session(address, 5)
            while not self.ended():
                row += 1
                try:
                    self.insert(session, writer, row, PATIENCE)
                    time.sleep(pause)
                except Refused:
                    time.sleep(RETRY)
        except Lost as error:
            self.note(writer=writer, failed=now(), error=str(error)[:200])


def write(run: str) -> None:
    writers = Writers(run)
    jobs: list[tuple[Callable[[str, str, float], None], str, str, float]] = [
        (writers.reconnecting, "service", os.environ["SERVICE"], PAUSE)
    ]
    for name, host in json.loads(os.environ["MEMBERS"]).items():
        jobs.append((writers.faithful, f"old:{name}", host, MEMBER_PAUSE))
        jobs.append((writers.reconnecting, f"new:{name}", host, MEMBER_PAUSE))
    for job, writer, address, pause in jobs:
        threading.Thread(target=job, args=(writer, address, pause), daemon=True).start()
    while not writers.ended():
        time.sleep(0.1)
    time.sleep(0.2)


def ids(run: str) -> None:
    session = Session(os.environ["SERVICE"], 5)
    rows = session.query(f"SELECT writer, id FROM writes WHERE run = '{run}'", 60)
    sys.stdout.write("".join(f"{writer} {row}\n" for writer, row in rows))


class Watcher:
    """A row through the Service, and which member shows it: what `primary and two streaming` means to a client."""

    def __init__(self) -> None:
        self.members: dict[str, str] = json.loads(os.environ["MEMBERS"])
        self.sessions: dict[str, Session] = {}

    def ask(self, name: str, address: str, text: str) -> list[list[str]] | None:
        """The rows, or None when there is no answer."""
        try:
            if name not in self.sessions:
                self.sessions[name] = Session(address)
            return self.sessions[name].query(text)
        except (Lost, Refused):
            gone = self.sessions.pop(name, None)
            if gone is not None:
                gone.close()
            return None

    def look(self) -> dict[str, Any]:
        at = now()
        new = "service" not in self.sessions
        if new:
            self.ask("service", os.environ["SERVICE"], TABLES)
        written = self.ask("service", os.environ["SERVICE"], BEAT.format(at=at)) is not None
        seen = {}
        for name, host in self.members.items():
            rows = self.ask(name, host, SEEN)
            if rows:
                seen[name] = {"at": float(rows[0][0]), "recovery": rows[0][1] == "t"}
        return {"at": at, "written": written, "seen": seen}


def watch() -> None:
    """Until the pod ends; silent while /data/quiet exists."""
    watcher = Watcher()
    status = DATA / "status"
    while True:
        if (DATA / "quiet").exists():
            for name in list(watcher.sessions):
                watcher.sessions.pop(name).close()
        else:
            text = json.dumps(watcher.look())
            status.with_suffix(".new").write_text(text)
            status.with_suffix(".new").rename(status)
        time.sleep(0.2)


if __name__ == "__main__":
    verbs: dict[str, Callable[..., None]] = {"watch": watch, "write": write, "ids": ids}
    verbs[sys.argv[1]](*sys.argv[2:])
