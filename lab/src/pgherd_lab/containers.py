"""Images and containers on nodes: importing an image, and from a pod to the processes that run in it.

Pids are found from outside: the container's id in the API, its cgroup below the lab's own, its processes there.
"""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgherd_lab import cgroups, process
from pgherd_lab.api import Api, Refused
from pgherd_lab.errors import LabError
from pgherd_lab.node import Node

CTR = ("ctr", "-a", "/run/containerd/containerd.sock", "-n", "k8s.io", "images")


@dataclass(frozen=True)
class Container:
    """One running container of a pod, with the node that it runs on."""

    namespace: str
    pod: str
    name: str
    identity: str
    restarts: int
    node: Node

    @property
    def pids(self) -> list[int]:
        """Its processes by pid of the machine, the oldest (the container's PID 1) first."""
        found = cgroups.of_container(self.identity, self.node.layout.name, self.node.name)
        started = {pid: stat.start for pid in found if (stat := process.stat(pid))}
        return sorted(started, key=lambda pid: (started[pid], pid))


def import_image(node: Node, reference: str, archive: Path) -> bool:
    """Give the node an image; False if it had it."""
    if reference in process.run(node.inside(*CTR, "ls", "-q"), 30).split():
        return False
    process.run(node.inside(*CTR, "import", "--local", str(archive)), 300)
    return True


def import_everywhere(nodes: Sequence[Node], reference: str, archive: Path, say: Callable[[str], None]) -> None:
    """Give all running nodes the image, at the same time."""
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(max_workers=len(nodes) or 1) as pool:
        done = list(pool.map(lambda node: import_image(node, reference, archive), nodes))
    if any(done):
        say(f"imported into {sum(done)} nodes in {time.monotonic() - began:.1f} s")


def pod(api: Api, namespace: str, name: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = api.get(f"/api/v1/namespaces/{namespace}/pods/{name}")
    except Refused as error:
        if error.status == 404:
            raise LabError(f"there is no pod {name} in namespace {namespace}") from None
        raise
    return found


def container(api: Api, nodes: Sequence[Node], namespace: str, name: str, wanted: str) -> Container:
    """The pod's running container of that name. Raises LabError if there is none."""
    read = pod(api, namespace, name)
    statuses = read["status"].get("containerStatuses", []) + read["status"].get("initContainerStatuses", [])
    names = [status["name"] for status in statuses]
    status = next((status for status in statuses if status["name"] == wanted), None)
    if status is None:
        raise LabError(f"pod {name} has no container {wanted}, only {', '.join(names) or 'none that started'}")
    node = next((node for node in nodes if node.name == read["spec"].get("nodeName")), None)
    identity = status.get("containerID", "").rpartition("/")[2]
    if node is None or not identity or "running" not in status.get("state", {}):
        raise LabError(f"container {wanted} of pod {name} does not run: {status.get('state')}")
    return Container(namespace, name, wanted, identity, status["restartCount"], node)


def running(found: Container) -> list[int]:
    """The container's pids. Raises LabError if none is left."""
    pids = found.pids
    if not pids:
        raise LabError(f"container {found.name} of pod {found.pod} has no processes on {found.node.name}")
    return pids
