"""Sessions from outside the agents, by pod IP: what a user of PostgreSQL notices."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import psycopg
from psycopg import Connection

from pgherd.model.position import parse_lsn
from tests.ha.harness.net import inside

T = TypeVar("T")
PLACE = "select pg_walfile_name(pg_current_wal_insert_lsn()), pg_current_wal_insert_lsn()::text"


@dataclass(frozen=True)
class Database:
    """Where and as whom to connect."""

    hub: str
    options: str
    """Connection parameters without the host."""

    def session(self, address: str, more: str = "") -> Connection:
        """A connection made inside the cluster's network; usable from anywhere."""
        return inside(self.hub, lambda: psycopg.connect(f"host={address} {self.options} {more}", autocommit=True))

    def ask(self, address: str, query: str) -> list[tuple[object, ...]]:
        with self.session(address) as session:
            return session.execute(query).fetchall()


@dataclass
class Ack:
    sent: float
    done: float
    row: int
    timeline: int = 0
    """On which the server was when it acknowledged."""
    lsn: int = 0
    """Bytes: the row's commit lies before it."""


@dataclass
class Writer:
    """One writer per member: tries without pause, notes every acknowledged row with monotonic times."""

    database: Database
    address: str
    acks: list[Ack] = field(default_factory=list)
    pause: float = 0.0
    """Seconds between two writes: less work for a small machine."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self, base: int) -> None:
        self._thread = threading.Thread(target=self._run, args=(base,), daemon=True, name=f"writer {self.address}")
        self._thread.start()

    def stop(self) -> list[Ack]:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)
        return self.acks

    def _run(self, row: int) -> None:
        session: Connection | None = None
        while not self._stop.is_set():
            try:
                if session is None or session.closed:
                    session = self.database.session(self.address, "target_session_attrs=read-write")
                row += 1
                sent = time.monotonic()
                # One message: the place in the WAL is read after the commit, in the same round trip.
                cursor = session.execute(f"begin; insert into written values ({row}); commit; {PLACE}")
                while cursor.nextset():
                    pass
                walfile, lsn = cursor.fetchall()[0]
                self.acks.append(Ack(sent, time.monotonic(), row, int(walfile[:8], 16), parse_lsn(lsn)))
                self._stop.wait(self.pause)
            except psycopg.Error:
                if session is not None:
                    session.close()
                session = None
                self._stop.wait(0.02)
        if session is not None:
            session.close()


def longest_gap(acks: list[Ack]) -> float:
    """Seconds between two acknowledged writes, at most."""
    times = sorted(ack.done for ack in acks)
    return max((b - a for a, b in itertools.pairwise(times)), default=0.0)


def until(check: Callable[[], T], seconds: float) -> T | None:
    """The first true value within `seconds`, else None."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = check()
        if value:
            return value
        time.sleep(0.02)
    return None
