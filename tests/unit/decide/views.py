"""Views as tables want them: a cluster of m0 (leader), m1 and m2, seen by m1 at NOW; every test changes a little."""

from __future__ import annotations

from typing import Any

import msgspec

from pgherd.model.knowledge import Attempt, Knowledge, WriteKind
from pgherd.model.lease import Candidate, Holder, Lease
from pgherd.model.member import Death, MemberStatus, Peer, Pod
from pgherd.model.position import Position
from pgherd.model.server import Data, Health, Process, Server
from pgherd.model.settings import Configuration
from pgherd.model.view import View

NOW = 1000.0
SYSTEM = "7000"


def lease(**changes: Any) -> Lease:
    base = Lease(
        leader="m0", epoch=5, ttl=10, optime=5000, address="10.0.0.0",
        holder=Holder(uid="u0", container="c0", nonce="n", timeline=2, writable=2),
        candidates=(Candidate("m1", "i1"), Candidate("m2", "i2")),
    )  # fmt: skip
    return msgspec.structs.replace(base, **changes)


def standby(**changes: Any) -> Server:
    base = Server(
        data=Data.PRESENT, process=Process.RUNNING, system_identifier=SYSTEM, incarnation="i1",
        position=Position(2, 5000), following="m0", streaming=True, receiver_timeline=2,
    )  # fmt: skip
    return msgspec.structs.replace(base, **changes)


def primary(**changes: Any) -> Server:
    return standby(**{"primary": True, "following": None, "streaming": False, **changes})


def stopped(**changes: Any) -> Server:
    return standby(**{"process": Process.STOPPED, "streaming": False, "following": None, **changes})


def status(name: str, **changes: Any) -> MemberStatus:
    number = name[1:]
    role = "primary" if name == "m0" else "replica"
    base = MemberStatus(
        member=name, uid=f"u{number}", state="running", role=role, system_identifier=SYSTEM, incarnation=f"i{number}",
        has_data=True, position=Position(2, 5000),
    )  # fmt: skip
    return msgspec.structs.replace(base, **changes)


def pod(name: str, deaths: tuple[Death, ...] = ()) -> Pod:
    return Pod(member=name, uid=f"u{name[1:]}", address=f"10.0.0.{name[1:]}", deaths=deaths)


def peer(name: str, words: MemberStatus | None, asked: float = NOW, settled: float | None = None) -> Peer:
    """`settled`: since when it says that; by default it is news."""
    return Peer(pod(name), words, asked, asked, 0.0 if words else asked, asked if settled is None else settled)


def observing(record: Lease, first_seen: float = NOW - 1) -> Knowledge:
    return Knowledge(record=record, version="7", first_seen=first_seen, highest_epoch=record.epoch)


def holding(record: Lease, t0: float = NOW - 1) -> Knowledge:
    """m1 holds."""
    mine = msgspec.structs.replace(record, leader="m1")
    attempt = Attempt("n", t0, record.ttl, WriteKind.RENEW, record.epoch, "6")
    return Knowledge(mine, "7", t0, held_from=t0, held=attempt, highest_epoch=record.epoch)


def view(**changes: Any) -> View:
    base = View(
        member="m1", uid="u1", container="c1", address="10.0.0.1", configuration=Configuration(),
        knowledge=observing(lease()), server=standby(), initialize=SYSTEM, members=("m0", "m1", "m2"),
        health=Health(NOW, True), armed=True,
        peers=(peer("m0", status("m0")), peer("m2", status("m2"))), pods=(pod("m0"), pod("m1"), pod("m2")),
    )  # fmt: skip
    return msgspec.structs.replace(base, **changes)


def leader_view(**changes: Any) -> View:
    """m1 holds the lease and is the published primary."""
    mine = lease(leader="m1", address="10.0.0.1", candidates=())
    others = (peer("m0", status("m0", role="replica")), peer("m2", status("m2")))
    return view(**{"knowledge": holding(mine), "server": primary(), "peers": others, **changes})
