"""A member that starts against an API server that does not do its work: it waits, says why, and can be stopped."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import ssl
import struct
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ha.harness.installed import ensure
from tests.ha.harness.member import Member
from tests.ha.harness.net import Network, inside
from tests.ha.harness.objects import PodObject
from tests.ha.harness.pki import Authority
from tests.ha.harness.python import USER
from tests.ha.harness.wait import eventually

PORT = 6443
WATCHED = 7.0
"""Seconds for which the agent is looked at: longer than the fence bears an agent without a heartbeat (5)."""
CPU = WATCHED / 2
"""CPU seconds that it may take in these: an agent that does not wait takes them all."""
NAME = "demo-instance1-aaaa-0"

Answer = Callable[[socket.socket], None]


def never(connection: socket.socket) -> None:
    """Accepts, and says nothing: until the other side gives up."""
    with contextlib.suppress(OSError):
        while connection.recv(65536):
            pass


def garbage(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"\x15\x03\x01\x00\x02\x02\x46 this is neither TLS nor HTTP\r\n\r\n" * 100)


def no_kubernetes(connection: socket.socket) -> None:
    """A well-formed answer of somebody else."""
    connection.recv(65536)
    body = b"<html>It works!</html>"
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    connection.sendall(head.encode() + body)


def overloaded(connection: socket.socket) -> None:
    connection.recv(65536)
    body = json.dumps({"kind": "Status", "status": "Failure", "code": 429, "message": "too many requests"}).encode()
    head = f"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    connection.sendall(head.encode() + b"Connection: close\r\n\r\n" + body)


def resets(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def hasty(connection: socket.socket) -> None:
    """Lists well, and every watch ends at once, as behind a broken proxy. There are no objects."""
    body = (
        b""
        if b"watch=true" in connection.recv(65536)
        else b'{"kind": "List", "metadata": {"resourceVersion": "7"}, "items": []}'
    )
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close"
    connection.sendall(head.encode() + b"\r\n\r\n" + body)


class Server:
    """Listens on the loopback of a network namespace; every connection in a thread of its own."""

    def __init__(self, namespace: str, answer: Answer) -> None:
        self._answer = answer
        self.accepted = 0
        self._listener = inside(namespace, lambda: socket.create_server(("127.0.0.1", PORT), backlog=64))
        threading.Thread(target=self._serve, daemon=True, name="sick api").start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.accepted += 1
                threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            self._answer(connection)

    def close(self) -> None:
        self._listener.close()


class NoObjects:
    """There is no API to show pods in."""

    namespace = "ns"

    def started(self, pod: PodObject) -> None: ...
    def ended(self, pod: PodObject, status: int) -> None: ...


class Alone:
    """One member of three, with the settings that the play would give it."""

    def __init__(self, folder: Path, network: Network, scheme: str) -> None:
        self.namespace, self.folder = network.add(0), folder
        import pwd

        user, authority = pwd.getpwnam(USER), Authority("alone")
        folder.mkdir(parents=True)
        folder.chmod(0o755)
        for part, pair in (
            ("tls", authority.issue("demo-primary", [NAME])),
            ("tls/replication", authority.issue("pgherd_replication")),
            ("tls/rest", authority.issue(NAME, [f"{NAME}.demo-pods"], ["127.0.0.1"])),
        ):
            authority.write(folder / part, pair, user.pw_uid, user.pw_gid)
        (folder / "kubeconfig").write_text(yaml.safe_dump(self._kubeconfig(scheme)))
        (folder / "pgherd.yaml").write_text(yaml.safe_dump(self._settings()))
        pod = PodObject(NAME, network.address(0), uid=str(uuid.uuid4()))
        self.member = Member(NAME, folder, self.namespace, pod, NoObjects(), 5432)  # type: ignore[arg-type]

    def _kubeconfig(self, scheme: str) -> dict[str, Any]:
        cluster = {"server": f"{scheme}://127.0.0.1:{PORT}"}
        if scheme == "https":
            cluster["certificate-authority"] = str(self.folder / "tls/rest/ca.crt")
        return {
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "c", "user": {"token": "t"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c", "namespace": "ns"}}],
        }  # fmt: skip

    def _settings(self) -> dict[str, Any]:
        folder, version = self.folder, ensure()
        return {
            "cluster": "demo", "members": [NAME, "demo-instance1-bbbb-0", "demo-instance1-cccc-0"],
            "postgres": {
                "version": version, "bin_directory": f"/usr/lib/postgresql/{version}/bin",
                "data_directory": str(folder / "pgdata/pg"), "state_directory": str(folder / "pgdata/pgherd"),
                "socket_directory": str(folder / "tmp/postgres"), "certificates": str(folder / "tls"),
            },
            "kubernetes": {"kubeconfig": str(folder / "kubeconfig")},
            "rest": {"certificates": str(folder / "tls/rest")},
        }  # fmt: skip

    def said(self) -> dict[str, Any]:
        """GET /member."""
        context = ssl.create_default_context(cafile=str(self.folder / "tls/rest/ca.crt"))

        def ask() -> dict[str, Any]:
            with urllib.request.urlopen("https://127.0.0.1:8008/member", timeout=5, context=context) as answer:
                return dict(json.loads(answer.read()))

        return inside(self.namespace, ask)

    def lines(self) -> list[dict[str, Any]]:
        lines = self.member.log.read_text(errors="replace").splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [line for line in found if "code" in line]  # the fence's lines have none


def cpu(pid: int) -> float:
    """CPU seconds that a process has used (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def alone(request: pytest.FixtureRequest) -> Iterator[tuple[Alone, Server]]:
    scheme, answer = request.param
    token = uuid.uuid4().hex[:6]
    network = Network(f"sick{token}")
    made, server = None, None
    try:
        made = Alone(Path(tempfile.gettempdir()) / "pgherd-ha" / token, network, scheme)
        server = Server(made.namespace, answer)
        yield made, server
    finally:
        if made is not None:
            made.member.kill()
            shutil.rmtree(made.folder, ignore_errors=True)
        if server is not None:
            server.close()
        network.close()


CASES = [
    ("https", never, "no answer within"),
    ("http", garbage, ""),
    ("http", no_kubernetes, "not a Kubernetes answer"),
    ("http", overloaded, "429"),
    ("https", resets, ""),
    ("http", hasty, "the watch ended at once"),
]


@pytest.mark.parametrize(
    ("alone", "why"),
    [((scheme, answer), why) for scheme, answer, why in CASES],
    indirect=["alone"],
    ids=[f"{scheme}-{answer.__name__}" for scheme, answer, _ in CASES],
)
def test_it_waits_says_why_and_can_be_stopped(alone: tuple[Alone, Server], why: str) -> None:
    it, server = alone
    it.member.start()
    eventually("its REST API", it.said, 30, every=0.2)
    eventually("the reason", lambda: it.said()["code"] in ("waiting-for-api", "lock-lost"), 15, every=0.2)
    pid, used, asked, began = it.member.agent(), cpu(it.member.agent()), server.accepted, time.monotonic()
    while time.monotonic() < began + WATCHED:
        assert it.said()["member"] == NAME  # it goes on answering
        time.sleep(0.5)
    used, asked = cpu(pid) - used, server.accepted - asked
    print(f"{used:.2f} CPU s and {asked} connections in {WATCHED:g} s")
    assert it.member.agent() == pid, "the fence took it for frozen"
    assert used < CPU
    assert asked < 10 * WATCHED
    told = [line for line in it.lines() if line["code"] == "kubernetes" and why in line["text"]]
    assert told and len(told) <= 30, "it says why it waits, and not without end"
    began = time.monotonic()
    assert it.member.terminate(within=30) == 0
    print(f"ended {time.monotonic() - began:.1f} s after SIGTERM")
