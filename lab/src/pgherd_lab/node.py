"""A node, seen from the machine: its namespaces, its folder, its process tree, and whether it is Ready.

The tree is `unshare` with everything below it, so that one SIGKILL ends the node with all its pods, as power does.
What must survive that (images, volumes, kubelet's files, logs) is in the node's folder of the lab's state.
"""

from __future__ import annotations

import datetime
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pgherd_lab import cgroups, network, node_files, process
from pgherd_lab.api import Api
from pgherd_lab.errors import LabError
from pgherd_lab.paths import Layout

DISK_BYTES = 20 * 1024**3


@dataclass(frozen=True)
class Node:
    """One node of one lab; holds nothing but names."""

    layout: Layout
    programs: Path
    name: str
    peers: tuple[str, ...]

    @property
    def folder(self) -> Path:
        return self.layout.node(self.name)

    @property
    def namespace(self) -> str:
        return self.layout.node_namespace(self.name)

    @property
    def record(self) -> process.Record | None:
        return process.find(self.layout.processes, self.name)

    @property
    def running(self) -> bool:
        record = self.record
        return record is not None and process.alive(record)

    def make_disk(self) -> None:
        """A sparse file that the node mounts for its volumes: filling it fills the node, not the machine."""
        disk = self.folder / "volumes.img"
        if disk.exists():
            return
        new = disk.with_suffix(".new")
        with new.open("wb") as file:
            file.truncate(DISK_BYTES)
        process.run(["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", "-E", "lazy_itable_init=1", str(new)], 60)
        new.rename(disk)

    def start(self, archives: Sequence[Path]) -> process.Record:
        """Network and processes; returns at once, before the node is Ready."""
        network.create_node(self.layout.control_namespace, self.namespace, self.name, self.peers)
        node_files.write(self.folder, self.name, self.layout, self.programs)
        self.make_disk()
        cgroups.create(self.layout.name, self.name)
        command = (
            sys.executable, "-I", str(Path(__file__).parent / "node_init.py"), "enter",
            f"/run/netns/{self.namespace}", self.layout.name, self.name, str(self.folder), str(self.programs),
            *map(str, archives),
        )  # fmt: skip
        return process.start(self.layout.processes, self.name, command, self.layout.logs / f"{self.name}.log")

    def kill(self) -> None:
        """Power off: the cable first, so that no peer hears a farewell from a dying socket."""
        if network.exists(self.namespace) and "eth0" in network.links(self.namespace):
            network.batch(self.namespace, ["link set eth0 down"], force=True)
        record = self.record
        if record:
            process.stop(self.layout.processes, [record], grace=0)
        self.clean()

    def clean(self) -> None:
        """What is left of the node outside its process tree, also after a crash of the lab."""
        for _ in range(3):
            for pid in cgroups.members(self.layout.name, self.name):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            if not cgroups.remove(self.layout.name, self.name, limit=2):
                break
        else:
            left = cgroups.members(self.layout.name, self.name)
            raise LabError(f"{self.name}: processes {left} do not end; they wait in the kernel")
        network.detach(self.layout.control_namespace, self.namespace, self.name)

    def init(self) -> int:
        """Pid, on the machine, of the first process inside the node. Raises LabError if the node is down."""
        record = self.record
        if record and process.alive(record):
            for pid in cgroups.members(self.layout.name, self.name):
                found = process.stat(pid)
                if found and found.parent == record.pid:
                    return pid
        raise LabError(f"{self.name} is not running; 'pgherd-lab fault start-node {self.name}' starts it")

    def inside(self, *command: str) -> tuple[str, ...]:
        """A command that runs in the node's namespaces."""
        pid = str(self.init())
        path = f"PATH={self.programs}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return ("nsenter", "-t", pid, "-m", "-u", "-n", "-p", "-C", "env", path, *command)

    def ready(self, api: Api, since: datetime.datetime) -> bool:
        """Ready according to the API, and heard of after `since`: an old lease says nothing about now."""
        try:
            node = api.get(f"/api/v1/nodes/{self.name}")
            lease = api.get(f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{self.name}")
        except LabError:
            return False
        renewed = datetime.datetime.fromisoformat(lease["spec"]["renewTime"])
        conditions = {each["type"]: each for each in node["status"].get("conditions", [])}
        ready = conditions.get("Ready", {})
        heard = datetime.datetime.fromisoformat(ready.get("lastHeartbeatTime", "1970-01-01T00:00:00+00:00"))
        whole = since.replace(microsecond=0)
        return ready.get("status") == "True" and renewed >= since and heard >= whole

    def forget(self) -> None:
        """Delete the node's folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
