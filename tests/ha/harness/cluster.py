"""Three members and one API: made for one test, ended with it."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.ha.harness.clients import Database
from tests.ha.harness.forward import Forwarders
from tests.ha.harness.installed import ensure
from tests.ha.harness.member import Member
from tests.ha.harness.net import Network
from tests.ha.harness.objects import Objects, PodObject
from tests.ha.harness.pki import Authority
from tests.ha.harness.python import USER
from tests.ha.harness.wait import eventually

DEFAULTS: dict[str, Any] = {"ttl": 5, "loop_wait": 1, "retry_timeout": 1, "primary_start_timeout": 60}
PASSWORD = "not-a-secret"
# SCRAM-SHA-256 of PASSWORD; PostgreSQL computes the same from ALTER ROLE ... PASSWORD.


def verifier(password: str) -> str:
    """A SCRAM-SHA-256 verifier (RFC 5802, as PostgreSQL stores it)."""
    import base64
    import hashlib
    import hmac

    salt, rounds = os.urandom(16), 4096
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    client = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    text = [base64.b64encode(part).decode() for part in (salt, client, server)]
    return f"SCRAM-SHA-256${rounds}:{text[0]}${text[1]}:{text[2]}"


class Cluster:
    def __init__(
        self, kubeconfig: Path, base: Path, size: int = 3, lock: str = "endpoints", **configuration: Any
    ) -> None:
        token, self.version = uuid.uuid4().hex[:6], ensure()
        self.name, self.folder = "demo", base / token
        self.configuration = DEFAULTS | configuration
        self.objects = Objects(kubeconfig, self.name, f"ha-{token}", lock)
        self.network = Network(f"ha{token}")
        self.authority = Authority(f"ha-{token}")
        url = urlsplit(self.objects.server)
        self.forwarders = Forwarders(url.hostname or "127.0.0.1", url.port or 443)
        self.members: dict[str, Member] = {}
        self.names = [f"{self.name}-instance1-{letter * 4}-0" for letter in "abcdefg"[:size]]

    @property
    def ttl(self) -> float:
        return float(self.configuration["ttl"])

    def create(self) -> None:
        self.objects.create(self.configuration, self.ttl)
        self.objects.secret("demo", {"password": PASSWORD, "verifier": verifier(PASSWORD)})
        self.objects.declare(users=[{"name": "demo", "secret": f"{self.name}-pguser-demo", "databases": ["demo"]}])
        self.folder.mkdir(parents=True)
        self.folder.chmod(0o755)
        (self.folder / "ca.crt").write_bytes(self.authority.certificate)
        kubeconfig = self.objects.agent_kubeconfig()
        for index, name in enumerate(self.names):
            self._create_member(index, name, kubeconfig)

    def _create_member(self, index: int, name: str, kubeconfig: str) -> None:
        folder = self.folder / f"m{index}"
        folder.mkdir()
        folder.chmod(0o755)
        namespace = self.network.add(index)
        self.forwarders.add(namespace)
        pod = PodObject(name, self.network.address(index))
        self.objects.create_pod(pod)
        (folder / "kubeconfig").write_text(kubeconfig)
        (folder / "pgherd.yaml").write_text(yaml.safe_dump(self._settings(folder)))
        self._certificates(folder / "tls", name)
        self.members[name] = Member(name, folder, namespace, pod, self.objects, 5432)

    def _settings(self, folder: Path) -> dict[str, Any]:
        data = folder / "pgdata"
        return {
            "cluster": self.name,
            "members": self.names,
            "postgres": {
                "version": self.version, "bin_directory": f"/usr/lib/postgresql/{self.version}/bin", "port": 5432,
                "data_directory": str(data / f"pg{self.version}"), "state_directory": str(data / "pgherd"),
                "socket_directory": str(folder / "tmp/postgres"), "certificates": str(folder / "tls"),
            },
            "kubernetes": {"kubeconfig": str(folder / "kubeconfig"), "lock": self.objects.locks.mode},
            "rest": {"certificates": str(folder / "tls/rest")},
        }  # fmt: skip

    def _certificates(self, folder: Path, name: str) -> None:
        import pwd

        user = pwd.getpwnam(USER)
        pods = f"{self.name}-pods"
        own = [f"{name}.{pods}", name, "localhost"]
        services = [f"{self.name}-{service}" for service in ("primary", "replicas", "ha")]
        for path, pair in (
            (folder, self.authority.issue(f"{self.name}-primary", [*services, *own])),
            (folder / "replication", self.authority.issue("pgherd_replication")),
            (folder / "rest", self.authority.issue(name, own, ["127.0.0.1"])),
        ):
            self.authority.write(path, pair, user.pw_uid, user.pw_gid)

    def configure(self, **changes: Any) -> None:
        """Change the dynamic configuration, before or after the start."""
        self.configuration |= changes
        self.objects.configure(self.configuration)

    def start(self) -> None:
        for member in self.members.values():
            member.start()

    @property
    def database(self) -> Database:
        return self.database_of("demo", PASSWORD, "demo")

    def database_of(self, user: str, password: str, name: str) -> Database:
        return Database(
            self.network.hub,
            f"port=5432 dbname={name} user={user} password={password} sslmode=verify-ca"
            f" sslrootcert={self.folder / 'ca.crt'} connect_timeout=2 tcp_user_timeout=3000",
        )

    # What a person would look at.

    def leader(self) -> Member | None:
        name = self.objects.annotations().get("leader")
        return self.members.get(name or "")

    def writable(self, other_than: Member | None = None) -> Member | None:
        """The member that the lease names and clients are sent to, if it accepts writes."""
        leader, address = self.leader(), self.objects.address()
        if leader is None or leader is other_than or address != leader.address:
            return None
        if self.objects.locks.routed() != [address]:
            return None
        return leader if self.database.ask(address, "select pg_is_in_recovery()") == [(False,)] else None

    def timeline(self, member: Member) -> int:
        rows = self.database.ask(member.address, "select substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)")
        return int(str(rows[0][0]), 16)

    def streaming(self) -> set[str]:
        """Members that replay what the leader sends (their own word, one query each)."""
        found = set()
        leader = self.leader()
        for name, member in self.members.items():
            if member is leader:
                continue
            try:
                rows = self.database.ask(member.address, "select status from pg_stat_wal_receiver")
            except Exception:
                continue
            if rows and rows[0][0] in ("streaming", None):  # None: hidden from an ordinary user
                found.add(name)
        return found

    def candidates(self) -> set[str]:
        """Members that may take the lease when its holder goes silent."""
        return {each["member"] for each in json.loads(self.objects.annotations().get("candidates") or "[]")}

    def wait_ready(self, within: float, replicas: int = 2) -> Member:
        leader = eventually("a writable leader", self.writable, within)
        eventually(f"{replicas} streaming replicas", lambda: len(self.streaming()) >= replicas, within)
        eventually(f"{replicas} recorded candidates", lambda: len(self.candidates()) >= replicas, within)
        return leader

    def vanish(self, member: Member) -> None:
        """The node is gone without a word: first its network, then everything on it. The API still shows it running."""
        self.network.cut(self._index(member))
        self.forwarders.cut(member.namespace)
        member.kill()

    def cut_api(self, *members: Member) -> None:
        for member in members:
            self.forwarders.cut(member.namespace)

    def mend_api(self, *members: Member) -> None:
        for member in members:
            self.forwarders.mend(member.namespace)

    def lose_api(self, silent: bool = True) -> None:
        """No agent reaches the API server any more: it hangs, or (not `silent`) its process is gone."""
        for member in self.members.values():
            (self.forwarders.cut if silent else self.forwarders.refuse)(member.namespace)

    def restore_api(self) -> None:
        self.mend_api(*self.members.values())

    def sever(self, member: Member) -> None:
        """Member and the other members do not reach each other; the API and clients reach all of them."""
        self.network.sever(self._index(member), self._others(member))

    def rejoin(self, member: Member) -> None:
        self.network.rejoin(self._index(member), self._others(member))

    def _others(self, member: Member) -> list[int]:
        return [index for index, name in enumerate(self.names) if name != member.name]

    def isolate(self, member: Member) -> None:
        """Nothing passes to and from the others; it lives, and does not know."""
        self.network.cut(self._index(member))

    def connect(self, member: Member) -> None:
        self.network.mend(self._index(member))

    def come_back(self, member: Member) -> None:
        """The node is back: its kubelet reports the old container and starts a new one."""
        self.network.mend(self._index(member))
        self.forwarders.mend(member.namespace)
        member.report()
        member.start()

    def _index(self, member: Member) -> int:
        return self.names.index(member.name)

    def close(self, keep: bool = False) -> None:
        for member in self.members.values():
            member.kill()
        self.forwarders.close()
        self.network.close()
        self.objects.close()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def describe(self) -> str:
        """For a failed test: the lock object, and the end of each member's log."""
        parts = [json.dumps(self.objects.annotations(), indent=1)]
        for name, member in self.members.items():
            lines = member.log.read_text(errors="replace").splitlines() if member.log.exists() else []
            lines = [line for line in lines if "FATAL:" not in line and "DETAIL:" not in line][-120:]
            parts.append(f"--- {name}\n" + "\n".join(lines))
        return "\n".join(parts)
