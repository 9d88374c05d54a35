"""A bridge in a network namespace of its own, one namespace per member behind it; the host's network is not touched."""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
PREFIX = "10.251.0"


def run(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def inside(namespace: str, work: Callable[[], T]) -> T:
    """Run `work` in a thread whose network is that namespace: its sockets stay there, also when used elsewhere."""
    outcome: list[T] = []
    failure: list[BaseException] = []

    def body() -> None:
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            fd = os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                if libc.setns(fd, CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"cannot enter network namespace {namespace}")
            finally:
                os.close(fd)
            outcome.append(work())
        except BaseException as error:  # handed to the caller
            failure.append(error)

    thread = threading.Thread(target=body, name=f"inside {namespace}")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


class Network:
    """`hub` holds the bridge (and the tests' clients); members are `<hub>-<index>`."""

    def __init__(self, name: str) -> None:
        self.hub = name
        self.members: list[str] = []
        run("ip", "netns", "add", self.hub)
        run("ip", "-n", self.hub, "link", "set", "lo", "up")
        # A fixed address: otherwise it is a member's, and changes for all when that member goes.
        run("ip", "-n", self.hub, "link", "add", "br0", "address", "02:00:00:00:00:01", "type", "bridge")
        run("ip", "-n", self.hub, "addr", "add", f"{PREFIX}.1/24", "dev", "br0")
        run("ip", "-n", self.hub, "link", "set", "br0", "up")

    def address(self, index: int) -> str:
        return f"{PREFIX}.{10 + index}"

    def namespace(self, index: int) -> str:
        return f"{self.hub}-{index}"

    def add(self, index: int) -> str:
        """A member's namespace, connected; its name."""
        name = self.namespace(index)
        run("ip", "netns", "add", name)
        self.members.append(name)
        run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", self.hub, "link", "add", f"m{index}", "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "-n", self.hub, "link", "set", f"m{index}", "master", "br0", "up")
        run("ip", "-n", name, "addr", "add", f"{self.address(index)}/24", "dev", "eth0")
        run("ip", "-n", name, "link", "set", "eth0", "up")
        return name

    def cut(self, index: int) -> None:
        """Nothing reaches the member any more, and nothing comes from it: no reset, no end of connection."""
        run("ip", "-n", self.hub, "link", "set", f"m{index}", "down")

    def sever(self, index: int, others: list[int]) -> None:
        """What passes between a member and the others is lost without a word; clients still reach everybody."""
        for other in others:
            self._lose(index, other)
            self._lose(other, index)

    def _lose(self, sender: int, receiver: int) -> None:
        nowhere = ("lladdr", "02:00:00:00:ff:ff", "dev", "eth0", "nud", "permanent")
        run("ip", "-n", self.namespace(sender), "neigh", "replace", self.address(receiver), *nowhere)

    def rejoin(self, index: int, others: list[int]) -> None:
        for one, other in [(index, other) for other in others] + [(other, index) for other in others]:
            run("ip", "-n", self.namespace(one), "neigh", "del", self.address(other), "dev", "eth0")

    def mend(self, index: int) -> None:
        run("ip", "-n", self.hub, "link", "set", f"m{index}", "up")

    def close(self) -> None:
        for name in (*self.members, self.hub):
            if Path("/run/netns", name).exists():
                run("ip", "netns", "del", name, check=False)
