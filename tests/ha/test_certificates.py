"""Certificates swapped under load: a bad pair, a renewed one, and another authority in three steps."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pgherd.tls.pair import fingerprints
from tests.ha.harness.cluster import Cluster
from tests.ha.harness.member import Member
from tests.ha.harness.objects import PREFIX
from tests.ha.harness.pki import Authority, Pair
from tests.ha.harness.python import USER
from tests.ha.harness.wait import START, eventually

SEEN = 40.0
"""Seconds for a change of the files to be seen, used and published."""


@dataclass
class Strict:
    """Writes a row again and again; every error is one too many."""

    session: Callable[[], psycopg.Connection]
    anew: bool
    base: int
    rows: int = 0
    errors: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(20)

    def _run(self) -> None:
        session: psycopg.Connection | None = None
        while not self._stop.is_set():
            try:
                session = session or self.session()
                session.execute(f"insert into written values ({self.base + self.rows})")
                self.rows += 1
            except psycopg.Error as error:
                self.errors.append(str(error))
                session = None
            if self.anew and session is not None:
                session.close()
                session = None
            self._stop.wait(0.02)
        if session is not None:
            session.close()


@pytest.fixture
def load(running: Cluster, leader: Member) -> Iterator[list[Strict]]:
    """A client that stays connected, and one that connects for each row."""
    made = [
        Strict(lambda: running.database.session(leader.address, "connect_timeout=15"), anew, base)
        for anew, base in ((False, 0), (True, 1_000_000))
    ]
    for each in made:
        each.start()
    eventually("first rows", lambda: all(each.rows > 3 for each in made), START)
    yield made
    for each in made:
        each.stop()


class Mounted:
    """The certificates of all members, as a kubelet would change them."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.pairs: dict[tuple[str, str], Pair] = {}
        for name, member in cluster.members.items():
            for kind, folder in self.folders(member).items():
                self.pairs[name, kind] = Pair((folder / "tls.crt").read_bytes(), (folder / "tls.key").read_bytes())

    def folders(self, member: Member) -> dict[str, Path]:
        tls = member.folder / "tls"
        return {"server": tls, "replication": tls / "replication", "rest": tls / "rest"}

    def issue(self, authority: Authority) -> None:
        server = authority.issue(
            "demo-primary", ["demo-primary", *(f"{name}.demo-pods" for name in self.cluster.names)]
        )
        client = authority.issue("pgherd_replication")
        for name in self.cluster.names:
            rest = authority.issue(name, [f"{name}.demo-pods", name, "localhost"], ["127.0.0.1"])
            self.pairs |= {(name, "server"): server, (name, "replication"): client, (name, "rest"): rest}

    def write(self, *roots: Authority) -> None:
        """To every member, and to the clients."""
        bundle = b"".join(root.certificate for root in roots)
        place(self.cluster.folder / "ca.crt", bundle, 0o444)
        for (name, kind), pair in self.pairs.items():
            folder = self.folders(self.cluster.members[name])[kind]
            for file, content in (("tls.crt", pair.certificate), ("tls.key", pair.key), ("ca.crt", bundle)):
                place(folder / file, content)
        wanted = fingerprints(bundle)
        for name, kind in self.pairs:
            serves = fingerprints(self.pairs[name, kind].certificate)[0]

            def done(name: str = name, kind: str = kind, serves: str = serves) -> bool:
                seen = published(self.cluster, name)[kind]
                return bool((seen["serves"], tuple(seen["trusts"]), seen["refused"]) == (serves, wanted, ""))

            eventually(f"{name} uses its new {kind} certificate", done, SEEN)


def place(path: Path, content: bytes, mode: int = 0o440) -> None:
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(content)
    new.chmod(mode)
    os.chown(new, 0, pwd.getpwnam(USER).pw_gid)
    new.replace(path)


def published(cluster: Cluster, member: str) -> dict[str, Any]:
    from lightkube.resources.core_v1 import Pod

    metadata = cluster.objects.client.get(Pod, member).metadata
    assert metadata is not None
    found: dict[str, Any] = json.loads((metadata.annotations or {})[f"{PREFIX}certificates"])
    return found


def serials(cluster: Cluster, leader: Member) -> set[str]:
    """Issuers of the certificates that the standbys replicate with."""
    query = "select s.issuer_dn from pg_stat_ssl s join pg_stat_replication r using (pid)"
    return {row[0] for row in leader.sql(query)}


def test_files_swapped_under_load_cost_no_write(running: Cluster, leader: Member, load: list[Strict]) -> None:
    old, new = running.authority, Authority("another")
    mounted = Mounted(running)
    agents = {name: member.agent() for name, member in running.members.items()}
    postmasters = {name: member.postmaster() for name, member in running.members.items()}

    # a key that does not belong to its certificate: refused, the pair before stays
    tls = mounted.folders(leader)["server"]
    place(tls / "tls.key", old.issue("demo-primary").key)
    refused = eventually("the bad pair is refused", lambda: published(running, leader.name)["server"]["refused"], SEEN)
    assert "do not belong together" in refused
    assert published(running, leader.name)["server"]["serves"] == fingerprints((tls / "tls.crt").read_bytes())[0]

    mounted.issue(old)
    mounted.write(old)  # renewed
    mounted.write(old, new)  # another authority: trusted first
    mounted.issue(new)
    mounted.write(old, new)  # then used
    eventually("replication by the new chain", lambda: serials(running, leader) == {"/CN=another"}, SEEN)
    mounted.write(new)  # then alone

    before = [each.rows for each in load]
    eventually("both clients go on", lambda: all(r.rows > n + 5 for r, n in zip(load, before, strict=True)), START)
    for each in load:
        each.stop()
    assert [each.errors for each in load] == [[], []]
    assert {name: member.agent() for name, member in running.members.items()} == agents
    assert {name: member.postmaster() for name, member in running.members.items()} == postmasters
    assert running.leader() is leader
    eventually("both replicas stream", lambda: len(running.streaming()) == 2, SEEN)
    assert running.database.ask(leader.address, "select count(*) from written") == [(sum(r.rows for r in load),)]

    # who trusts the old authority alone, and who was certified by it, gets in no more
    place(running.folder / "old.crt", old.certificate, 0o444)
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        running.database.session(leader.address, f"sslrootcert={running.folder / 'old.crt'}")
    client, mine = old.issue("pgherd_replication"), running.folder / "stranger"
    mine.mkdir()
    old.write(mine, client, 0, 0)
    (mine / "tls.key").chmod(0o600)
    words = f"sslcert={mine / 'tls.crt'} sslkey={mine / 'tls.key'} user=pgherd_replication dbname=postgres"
    with pytest.raises(psycopg.OperationalError, match="unknown ca"):
        running.database.session(leader.address, words)
    shutil.rmtree(mine)
