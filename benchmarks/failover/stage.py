"""The client of one contender, seen from the machine: its files are read below /proc, so that an API that is away
or a node that is cut changes nothing for whoever measures.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.failover import contenders, measure, objects
from benchmarks.failover.contenders import Contender, cluster
from pgherd_lab import containers
from pgherd_lab.cluster import Lab
from pgherd_lab.demo.console import Failed, output, wait
from pgherd_lab.errors import LabError

FRESH = 3.0
"""Seconds after which the watcher's word counts no more."""
SETTLE = 180.0
"""Seconds that a contender gets to be whole again before it is made anew."""


def now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True)
class Status:
    """What the watcher saw last: whether a write through the Service worked, and who shows it."""

    at: float
    written: bool
    primaries: tuple[str, ...]
    following: tuple[str, ...]


def parse_status(text: str) -> Status:
    read = json.loads(text)
    seen: dict[str, dict[str, Any]] = read["seen"]
    return Status(
        read["at"],
        read["written"],
        tuple(name for name, each in seen.items() if not each["recovery"]),
        tuple(name for name, each in seen.items() if each["recovery"] and each["at"] >= read["at"] - FRESH),
    )


def whole(status: Status, replicas: int) -> bool:
    return status.written and len(status.primaries) == 1 and len(status.following) == replicas


class Client:
    """The client's pod of one contender, and the run that it has."""

    def __init__(self, lab: Lab, contender: Contender, image: str) -> None:
        self.lab, self.contender, self.image = lab, contender, image
        self.folder = Path()

    def start(self, members: list[str]) -> None:
        """A new pod that knows these members; returns when its watcher has said something."""
        where = cluster(self.contender)
        names = contenders.hosts(self.contender, members)
        service = f"{self.contender.service}.{self.contender.namespace}.svc.cluster.local."
        where.delete("pod", objects.CLIENT)
        where.apply(objects.script(), objects.client(self.image, service, names))
        self.find()

    def find(self) -> None:
        """Where the pod's files are on this machine."""

        def running() -> Path | None:
            try:
                namespace = self.contender.namespace
                found = containers.container(self.lab.api, self.lab.nodes, namespace, objects.CLIENT, objects.CLIENT)
            except LabError:
                return None
            folder = Path(f"/proc/{containers.running(found)[0]}/root/data")
            return folder if (folder / "status").exists() else None

        self.folder = wait(f"the client of {self.contender.name}", running, 60)

    def status(self) -> Status:
        return parse_status((self.folder / "status").read_text())

    def quiet(self, wanted: bool) -> None:
        """Stop or start the watcher's queries."""
        path = self.folder / "quiet"
        path.touch() if wanted else path.unlink(missing_ok=True)

    def write(self, run: str) -> None:
        """Start the writers of a run; returns when all are at work."""
        command = f"setsid python3 /client/client.py write {run} </dev/null >/data/{run}.log 2>&1 &"
        output((*cluster(self.contender).kubectl, "exec", objects.CLIENT, "--", "sh", "-c", command))
        began = now()
        wait("the writers", lambda: (len(measure.through_service(self.rows(run))) > 100) or None, 30)
        time.sleep(max(0.0, 3 - (now() - began)))

    def rows(self, run: str) -> list[measure.Row]:
        try:
            return measure.rows((self.folder / f"{run}.jsonl").read_text().splitlines())
        except FileNotFoundError:
            return []

    def resumed(self, run: str, since: float, steady: float) -> bool:
        """Whether the client has been acknowledged for `steady` seconds, up to now and after `since`."""
        times = [row.acked for row in measure.through_service(self.rows(run)) if row.acked > since]
        recent = [each for each in times if each > now() - steady - 1]
        pauses = [later - earlier for earlier, later in pairwise(recent)]
        return bool(
            recent and recent[-1] - recent[0] >= steady and max(pauses, default=9) < 1 and recent[-1] > now() - 1
        )

    def stop(self, run: str) -> None:
        (self.folder / f"{run}.stop").touch()
        time.sleep(0.5)

    def present(self, run: str) -> set[tuple[str, int]]:
        """Rows that the table has, read through the Service."""

        def read() -> str | None:
            text = cluster(self.contender).execute(objects.CLIENT, "python3", "/client/client.py", "ids", run, limit=70)
            return text or None

        lines = wait("the rows that are there", read, 60).splitlines()
        return {(writer, int(row)) for writer, _, row in (line.partition(" ") for line in lines)}

    def forget(self, run: str) -> None:
        for path in self.folder.glob(f"{run}.*"):
            path.unlink()


def settled(client: Client) -> Status | None:
    """The watcher's word once one member writes, two follow, and the product itself agrees; for `wait`."""
    contender, status = client.contender, client.status()
    if not whole(status, 2) or status.at < now() - FRESH or not contender.whole(2):
        return None
    return status if contenders.leader(contender) == status.primaries[0] else None


def restarted(contender: Contender) -> list[str]:
    """Members whose container was started anew, replicas first: the kubelet's pause before a restart grows."""
    first = contenders.leader(contender)
    found = [
        pod["metadata"]["name"]
        for pod in contenders.pods(contender)
        if any(status["restartCount"] for status in pod["status"].get("containerStatuses", []))
    ]
    return sorted(found, key=lambda name: (name == first, name))


def prepare(client: Client) -> Status:
    """Whole, and with pods whose containers never were started anew. Raises Failed."""
    name = client.contender.name
    for _ in range(6):
        wait(f"{name} to be whole", lambda: settled(client), SETTLE)
        again = restarted(client.contender)
        if not again:
            return wait(f"{name} to be whole", lambda: settled(client), SETTLE)
        where = cluster(client.contender)
        output((*where.kubectl, "delete", "pod", again[0], "--wait=true"), limit=120)
    raise Failed(f"{name}: containers keep being started anew")
