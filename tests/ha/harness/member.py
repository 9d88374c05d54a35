"""One member: network, mount and pid namespace, fence as PID 1 under an unprivileged uid; and what can happen to it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

from tests.ha.harness.objects import Objects, PodObject
from tests.ha.harness.python import USER, interpreter, python_path
from tests.ha.harness.wait import eventually

END = 30.0
"""Seconds that a pid namespace has to end after its PID 1."""


def status(pid: int) -> dict[str, str]:
    """/proc/<pid>/status; empty when there is no such process."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


class Member:
    def __init__(self, name: str, folder: Path, namespace: str, pod: PodObject, objects: Objects, port: int) -> None:
        self.name, self.folder, self.namespace, self.pod, self.port = name, folder, namespace, pod, port
        self._objects = objects
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._pid1 = 0

    @property
    def address(self) -> str:
        return self.pod.address

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def environment(self) -> dict[str, str]:
        folder = self.folder
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "PYTHONPATH": python_path(),
            "PGHERD_MEMBER": self.name,
            "PGHERD_NAMESPACE": self._objects.namespace,
            "PGHERD_POD_UID": self.pod.uid,
            "PGHERD_POD_IP": self.address,
            "PGHERD_NODE": self.namespace,
            "PGHERD_SETTINGS": str(folder / "pgherd.yaml"),
            "PGHERD_RUN": str(folder / "run"),
            "PGHERD_TMP": str(folder / "tmp"),
            "TMPDIR": str(folder / "tmp"),
            "HOME": str(folder / "tmp"),
        }

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """What a person types in the pod: `pgherd <words>`."""
        command = [
            "nsenter", f"--net=/run/netns/{self.namespace}", sys.executable, "-c",
            "from pgherd.cli import main; main()", *words,
        ]  # fmt: skip
        return subprocess.run(
            command, env=self.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
        )

    def start(self) -> None:
        """A new container of the pod."""
        for name in ("run", "tmp", "pgdata"):
            path = self.folder / name
            path.mkdir(exist_ok=True)
            path.chmod(0o700)
            subprocess.run(["chown", f"{USER}:{USER}", str(path)], check=True)
        self._log = self.log.open("ab")
        command = [
            "nsenter", f"--net=/run/netns/{self.namespace}",
            "unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc",
            "setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs",
            interpreter(), "-m", "pgherd.fence",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            command, env=self.environment(), stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
            start_new_session=True, cwd="/",
        )  # fmt: skip
        self._pid1 = eventually(f"{self.name}: PID 1", self._find_pid1, 30, every=0.01)
        self._objects.started(self.pod)

    def _find_pid1(self) -> int:
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return int(children[0]) if children else 0

    def processes(self) -> dict[int, str]:
        """Outer pid -> command line of everything in the member's pid namespace."""
        try:
            space = Path(f"/proc/{self._pid1}/ns/pid").readlink()
        except OSError:
            return {}
        found = {}
        for path in Path("/proc").iterdir():
            if path.name.isdigit():
                try:
                    if (path / "ns/pid").readlink() == space:
                        found[int(path.name)] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                except OSError:
                    continue
        return found

    def agent(self) -> int:
        """Outer pid of the agent: PID 1's own child. What it begets has its command until it is another program."""
        found = [pid for pid, command in self.processes().items() if "pgherd.runtime" in command]
        pids = [pid for pid in found if status(pid).get("PPid") == str(self._pid1)]
        assert len(pids) == 1, f"{self.name}: agents {pids}"
        return pids[0]

    def postmaster(self) -> int:
        """Outer pid of the postmaster: PID 1's own child that runs postgres."""
        for pid, command in self.processes().items():
            if "postgres" in command.split(" ")[0] and status(pid).get("PPid") == str(self._pid1):
                return pid
        raise AssertionError(f"{self.name}: no postmaster")

    def sql(self, query: str, database: str = "postgres") -> list[list[str]]:
        """As the superuser over the member's own socket; every value as text."""
        command = [
            "setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "psql", "--no-psqlrc", "--tuples-only",
            "--no-align", "--quiet", "--field-separator=\t", "--set=ON_ERROR_STOP=1",
            f"--host={self.folder / 'tmp/postgres'}", f"--port={self.port}", f"--dbname={database}",
            "--username=postgres", f"--command={query}",
        ]  # fmt: skip
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=30, check=False)
        if done.returncode:
            raise RuntimeError(f"{self.name}: {query}: {done.stderr.strip()}")
        return [line.split("\t") for line in done.stdout.splitlines()]

    def freeze_agent(self) -> int:
        """Stop the agent's process; its pid."""
        pid = self.agent()
        os.kill(pid, signal.SIGSTOP)
        eventually("the agent is stopped", lambda: status(pid).get("State", "").startswith("T"), 30, every=0.01)
        return pid

    def freeze(self, only: str = "") -> list[int]:
        """Stop every process of the container, its PID 1 included, or those whose command has `only`; their pids."""
        return [pid for pid, command in self.processes().items() if only in command and self._stopped(pid)]

    @staticmethod
    def _stopped(pid: int) -> bool:
        """Whether it was still there to be stopped."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            return True
        return False

    @staticmethod
    def thaw(pids: list[int]) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def running(self, program: str) -> list[int]:
        """Pids of a tool that works in this container just now."""
        return [pid for pid, command in self.processes().items() if program in command]

    def kill_agent(self) -> None:
        os.kill(self.agent(), signal.SIGKILL)

    def kill_postmaster(self) -> None:
        os.kill(self.postmaster(), signal.SIGKILL)

    def terminate(self, within: float = 60) -> int:
        """As a kubelet deletes a pod: SIGTERM to PID 1, wait for the end, show it. The container's exit status."""
        assert self._process is not None
        os.kill(self._pid1, signal.SIGTERM)
        code = self._process.wait(within)
        self._finish()
        self._objects.ended(self.pod, code)
        return code

    def kill(self) -> None:
        """SIGKILL to PID 1: everything in the container is gone. Nobody is told (see `report`)."""
        if self._process is not None and self._process.poll() is None:
            os.kill(self._pid1, signal.SIGKILL)
            self._process.wait(END)
        self._finish()

    def report(self) -> None:
        """The kubelet's word on a container that was killed, after its end."""
        assert self._process is None, f"{self.name} still runs"
        self._objects.ended(self.pod, 137)

    def _finish(self) -> None:
        self._process = None
        if self._log is not None:
            self._log.close()
            self._log = None
