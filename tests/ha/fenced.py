"""A fence as PID 1 of its own pid namespace, with the tiny agent under it: the container without a container.

The members of a test share a network namespace that has nothing but a loopback interface: PostgreSQL listens on every
address that there is, and the machine's own are none of a test's.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from pgherd.model.mapping import boottime
from tests.ha.harness.installed import ensure
from tests.ha.harness.pki import Authority
from tests.ha.harness.python import USER, interpreter
from tests.ha.harness.wait import eventually

REPOSITORY = Path(__file__).parents[2]
PATIENCE = 30.0
CONFIGURATION: dict[str, Any] = {
    "postgresql": {
        "parameters": {"shared_buffers": "16MB", "max_connections": 20, "fsync": "on"},
        "pg_hba": ["local all app trust"],
    }
}


class Failed(Exception):
    """The agent said that an order failed: class name and text of its error."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name


def signalled(pid: int, signum: int) -> bool:
    """Whether there was still such a process."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signum)
        return True
    return False


class Fenced:
    """One member. `port` makes its address unique on the loopback interface of `network`, a namespace's file."""

    def __init__(self, root: Path, name: str, port: int, members: list[str], network: str) -> None:
        self.root, self.name, self.port, self.network = root / name, name, port, network
        self.data = self.root / "volume" / "data"
        self.log = self.root / "stderr"
        self.process: subprocess.Popen[bytes] | None = None
        for part in ("volume", "run", "tmp", "tls/replication"):
            (self.root / part).mkdir(parents=True)
        settings = {
            "cluster": "demo",
            "members": members,
            "postgres": {
                "version": ensure(),
                "bin_directory": f"/usr/lib/postgresql/{ensure()}/bin",
                "port": port,
                "data_directory": str(self.data),
                "state_directory": str(self.root / "volume/state"),
                "socket_directory": str(self.root / "tmp/postgres"),
                "certificates": str(self.root / "tls"),
            },
        }
        (self.root / "settings.yaml").write_text(yaml.safe_dump(settings))

    @property
    def source(self) -> dict[str, Any]:
        return {"member": self.name, "address": "127.0.0.1", "port": self.port, "slot": "unused"}

    def start(self, **environ: str) -> None:
        entry = pwd.getpwnam(USER)
        variables = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path.startswith("/") and "site-packages" in path)
            + f":{REPOSITORY}:{REPOSITORY / 'agent/src'}",
            "PGHERD_SETTINGS": str(self.root / "settings.yaml"),
            "PGHERD_MEMBER": self.name,
            "PGHERD_RUN": str(self.root / "run"),
            "PGHERD_CONTROL": str(self.root / "control"),
            "PGHERD_AGENT_COMMAND": json.dumps([interpreter(), "-m", "tests.ha.fenced_agent"]),
            **environ,
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["nsenter", f"--net={self.network}", "unshare", "--pid", "--fork", "--mount-proc", "--kill-child",
                 "setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups",
                 interpreter(), "-m", "pgherd.fence"],
                env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
            )  # fmt: skip
        self.do("pid")

    def do(self, verb: str, /, **arguments: Any) -> Any:
        """One order to the agent, as soon as one listens. Raises Failed."""
        with contextlib.closing(self._dial()) as connection, connection.makefile("rwb") as stream:
            stream.write(json.dumps({"do": verb, **arguments}).encode() + b"\n")
            stream.flush()
            answer = json.loads(stream.readline())
        if "error" in answer:
            raise Failed(answer["error"], answer["text"])
        return answer["ok"]

    def do_later(self, verb: str, /, **arguments: Any) -> None:
        """An order whose answer nobody waits for."""
        with contextlib.closing(self._dial()) as connection:
            connection.sendall(json.dumps({"do": verb, **arguments}).encode() + b"\n")

    def _dial(self) -> socket.socket:
        def dialled() -> socket.socket | None:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(120)
            try:
                connection.connect(str(self.root / "control"))
            except OSError:
                connection.close()
                return None
            return connection

        return eventually(f"{self.name}'s agent listens", dialled, PATIENCE)

    def primary(self, seconds: float = 600.0) -> None:
        """initdb, arm, start writable; user app may do everything."""
        self.do("initialise")
        self.do("arm", seconds=seconds)
        self.do("start", writable=True, source=None, configuration=CONFIGURATION)
        self.do("sql", sql="CREATE ROLE app SUPERUSER LOGIN")

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host=str(self.root / "tmp/postgres"), port=self.port, user="app", dbname="postgres", autocommit=True
        )

    def namespace(self) -> dict[int, int]:
        """Pid inside -> pid outside of every living process of this member."""
        assert self.process is not None
        found = {}
        unshare = self.process.pid
        with contextlib.suppress(OSError):
            ours = Path(f"/proc/{unshare}/ns/pid_for_children").readlink()
            for path in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    status = (path / "status").read_text()
                    if (path / "ns/pid").readlink() == ours and "\nState:\tZ" not in status:
                        inside = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[-1]
                        found[int(inside)] = int(path.name)
        return found

    def signal(self, pid: int, signum: int) -> None:
        """Send a signal to a process by its pid inside."""
        os.kill(self.namespace()[pid], signum)

    def on_data(self) -> list[int]:
        """Processes (pids outside) that work in the data directory."""
        wanted = self.data.stat()
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                there = (path / "cwd").stat()
                if (there.st_dev, there.st_ino) == (wanted.st_dev, wanted.st_ino):
                    found.append(int(path.name))
        return found

    def freeze(self) -> list[int]:
        """Stop PostgreSQL, whole; its pids."""
        return [pid for pid in self.on_data() if signalled(pid, signal.SIGSTOP)]

    def thaw(self, pids: list[int]) -> None:
        """A backend that was ending when it was stopped may be gone."""
        for pid in pids:
            signalled(pid, signal.SIGCONT)

    def events(self, name: str) -> list[dict[str, Any]]:
        """The fence's own account."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and f'"{name}"' in line]

    def terminate(self) -> None:
        self.signal(1, signal.SIGTERM)

    def ended(self) -> int:
        assert self.process is not None
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        """PID 1 dies, and with it everything in its namespace."""
        if self.process and self.process.poll() is None:
            inside = self.namespace()
            os.kill(inside.get(1, self.process.pid), signal.SIGKILL)
            self.process.wait(PATIENCE)


class Writer:
    """Commits row after row and notes when each acknowledged one was sent, until the connection breaks."""

    def __init__(self, member: Fenced) -> None:
        self._connection = member.connect()
        self._connection.execute("CREATE TABLE IF NOT EXISTS written (n bigint)")
        self.acknowledged: list[float] = []
        self.error: psycopg.Error | None = None
        self._stop = False
        self._thread = threading.Thread(target=self._write)
        self._thread.start()
        eventually("the first commit", lambda: self.acknowledged, PATIENCE)

    def _write(self) -> None:
        try:
            while not self._stop:
                sent = boottime()  # this process may be late to see the answer, and the kill may come before that
                self._connection.execute("INSERT INTO written VALUES (%s)", (len(self.acknowledged),))
                self.acknowledged.append(sent)
        except psycopg.Error as error:
            self.error = error

    def end(self) -> None:
        self._stop = True
        self._thread.join(PATIENCE)
        self._connection.close()


def certify(authority: Authority, member: Fenced) -> None:
    """As a projected volume shows them: root's, readable by the group."""
    entry = pwd.getpwnam(USER)
    server = authority.issue("demo", [f"{member.name}.demo-pods"])
    authority.write(member.root / "tls", server, entry.pw_uid, entry.pw_gid)
    client = authority.issue("pgherd_replication")
    authority.write(member.root / "tls/replication", client, entry.pw_uid, entry.pw_gid)


@contextlib.contextmanager
def network() -> Iterator[str]:
    """The file of a network namespace with a loopback interface; it ends with this process, whatever ends that."""
    holder = subprocess.Popen(
        ["setpriv", "--pdeathsig=KILL", "unshare", "--net", "sh", "-c", "ip link set lo up && echo && exec cat"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdout is not None and holder.stdin is not None
    try:
        assert holder.stdout.readline(), "no network namespace"
        yield f"/proc/{holder.pid}/ns/net"
    finally:
        holder.stdin.close()
        holder.wait(PATIENCE)
        holder.stdout.close()


@contextlib.contextmanager
def members(count: int, first_port: int) -> Iterator[list[Fenced]]:
    """`count` members with certificates of one authority, all on one loopback interface."""
    if os.geteuid():
        pytest.skip("needs root for namespaces of its own")
    root = Path(tempfile.mkdtemp(prefix="fenced-", dir="/tmp"))
    names = [f"demo-{index}-0" for index in range(count)]
    with network() as net:
        made = [Fenced(root, name, first_port + index, names, net) for index, name in enumerate(names)]
        authority = Authority("test")
        subprocess.run(["chown", "-R", f"{USER}:", str(root)], check=True, timeout=30)
        for member in made:
            certify(authority, member)
        try:
            yield made
        finally:
            for member in made:
                member.close()
                print(f"--- {member.name}\n{member.log.read_text(errors='replace') if member.log.exists() else ''}")
            shutil.rmtree(root, ignore_errors=True)
