"""The contenders: how each is deployed, who its primary is, and what its agent looks like as a process.

Everything else of a run is the same for all. A contender holds names only; the cluster is asked each time.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from benchmarks.failover import objects, patroni
from pgherd_lab import pod_faults, process, signals
from pgherd_lab.build import programs
from pgherd_lab.cluster import Lab
from pgherd_lab.containers import Container
from pgherd_lab.demo.cluster import Cluster
from pgherd_lab.demo.console import Failed, output
from pgherd_lab.errors import LabError

ROOT = Path(__file__).resolve().parents[2]


def kubectl() -> tuple[str, ...]:
    """The lab's kubectl itself: hundreds of calls through a Python command would disturb what is measured."""
    return (str(programs() / "kubectl"), "--kubeconfig", str(Lab().kubeconfig))


def read(path: str) -> Any:
    """One object or list from the lab's API. Raises Failed."""
    try:
        return Lab().api.get(path)
    except LabError as error:
        raise Failed(str(error)) from None


class Contender(Protocol):
    """What the runs need of a side."""

    @property
    def name(self) -> str: ...

    @property
    def namespace(self) -> str: ...

    @property
    def service(self) -> str:
        """The Service that clients write through; the Endpoints of that name are the lock."""

    @property
    def label(self) -> str:
        """Selects the members' pods."""

    @property
    def settings(self) -> str:
        """For the table: what its settings are."""

    @property
    def renews_route(self) -> bool:
        """Whether each renewal of its lock changes the slice that clients are routed by."""

    def deploy(self) -> None:
        """Make everything; returns when the objects exist, whatever the members do."""

    def destroy(self) -> None:
        """Delete everything, volumes too."""

    def agents(self, found: Container) -> list[int]:
        """Pids of the agent, without the PID 1 that started it."""

    def switchover(self, primary: str) -> Sequence[str] | None:
        """The command that switches over, to be run in the primary's pod; None: it has none."""

    def whole(self, replicas: int) -> bool:
        """Whether the product itself says that all replicas may take over."""


def cluster(contender: Contender) -> Cluster:
    return Cluster("app", kubectl(), contender.namespace)


def lock(contender: Contender) -> dict[str, str]:
    """Annotations of the lock object."""
    found = read(f"/api/v1/namespaces/{contender.namespace}/endpoints/{contender.service}")
    annotations: dict[str, str] = found["metadata"].get("annotations") or {}
    return annotations


def leader(contender: Contender) -> str:
    """The member that the lock names. Raises Failed if there is none."""
    name = lock(contender).get("leader")
    if not name:
        raise Failed(f"{contender.name}: the lock names no leader")
    return name


def pods(contender: Contender) -> list[dict[str, Any]]:
    selector = quote(contender.label)
    found = read(f"/api/v1/namespaces/{contender.namespace}/pods?labelSelector={selector}")
    items: list[dict[str, Any]] = found["items"]
    return items


def hosts(contender: Contender, names: Sequence[str]) -> dict[str, str]:
    """Member -> the name under which it is found, whatever its address is at the time."""
    suffix = f"{'app' if contender.service == 'app-ha' else contender.service}-pods.{contender.namespace}"
    return {name: f"{name}.{suffix}.svc.cluster.local" for name in names}


@dataclass(frozen=True)
class Pgherd:
    """pgherd by its own playbook."""

    image: str
    kubeconfig: str
    name: str = "pgherd"
    service: str = "app-ha"
    label: str = "pgherd.dev/cluster=app,pgherd.dev/data=postgres"
    settings: str = "defaults (ttl 10, loop_wait 3, retry_timeout 3)"
    renews_route: bool = False

    @property
    def namespace(self) -> str:
        return f"bench-{self.name}"

    def play(self, name: str, *arguments: str) -> None:
        """Raises Failed with the end of what the play said."""
        program = shutil.which("ansible-playbook") or "ansible-playbook"
        inventory = str(Path(__file__).parent / "inventory")
        environment = {**os.environ, "K8S_AUTH_KUBECONFIG": self.kubeconfig, "PGHERD_IMAGE": self.image}
        done = subprocess.run(
            [program, "-i", inventory, f"playbooks/{name}.yml", *arguments],
            cwd=ROOT, env=environment, text=True, timeout=400, capture_output=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise Failed(f"playbooks/{name}.yml ended with {done.returncode}: {done.stdout[-1500:]}")

    def deploy(self) -> None:
        values = {"user": objects.USER, "password": objects.PASSWORD}
        made = objects.secret(f"app-pguser-{objects.USER}", values)
        made["metadata"]["labels"] = {"pgherd.dev/cluster": "app"}
        cluster(self).apply(made)
        self.play("site", "-e", '{"postgres_wait": false}')

    def destroy(self) -> None:
        self.play("destroy", "-e", "postgres_destroy=app", "-e", "postgres_purge=true")

    def agents(self, found: Container) -> list[int]:
        return pod_faults.agents(found)

    def switchover(self, primary: str) -> Sequence[str] | None:
        """None as long as the command line has no such command."""
        helped = cluster(self).execute(primary, "pgherd", "--help")
        return ("pgherd", "switchover", "--force") if "switchover" in helped else None

    def whole(self, replicas: int) -> bool:
        candidates: list[Any] = json.loads(lock(self).get("candidates") or "[]")
        return len(candidates) >= replicas


@dataclass(frozen=True)
class Patroni:
    """Patroni in its Kubernetes mode, with one set of dynamic settings."""

    image: str
    name: str
    dynamic: Mapping[str, Any] = field(default_factory=dict)
    local: Mapping[str, Any] = field(default_factory=dict)
    settings: str = "defaults (ttl 30, loop_wait 10, retry_timeout 10)"
    service: str = patroni.SCOPE
    label: str = ",".join(f"{key}={value}" for key, value in patroni.LABELS.items())
    renews_route: bool = True

    @property
    def namespace(self) -> str:
        return f"bench-{self.name}"

    def deploy(self) -> None:
        cluster(self).apply(*patroni.objects(self.dynamic, self.local))
        cluster(self).apply(patroni.stateful_set(self.image))

    def destroy(self) -> None:
        where = cluster(self)
        labels = ",".join(f"{key}={value}" for key, value in patroni.LABELS.items())
        for kinds in ("statefulset,pods", "endpoints,services,pvc"):
            output((*where.kubectl, "delete", kinds, "-l", labels, "--wait=true", "--grace-period=1"), limit=120)

    def agents(self, found: Container) -> list[int]:
        """PID 1 is Patroni's own init; the agent is its child with the same command line."""
        pids = found.pids
        return [
            pid for pid in pids[1:]
            if any(word.endswith("/patroni") for word in signals.arguments(pid)[:3])
            and (stat := process.stat(pid)) and stat.parent == pids[0]
        ]  # fmt: skip

    def switchover(self, primary: str) -> Sequence[str] | None:
        return (
            "/opt/patroni/bin/patronictl", "-c", "/etc/patroni/patroni.yml",
            "switchover", patroni.SCOPE, "--primary", primary, "--force",
        )  # fmt: skip

    def whole(self, replicas: int) -> bool:
        """Patroni has no list of candidates; its own word for each member is in the pod's annotation."""
        states: list[dict[str, Any]] = [
            json.loads(pod["metadata"].get("annotations", {}).get("status") or "{}") for pod in pods(self)
        ]
        return len([state for state in states if state.get("replication_state") == "streaming"]) >= replicas


AGGRESSIVE = {"ttl": 20, "loop_wait": 1, "retry_timeout": 3, "failsafe_mode": True}
"""The smallest values that Patroni 4.1.5 accepts (it raises smaller ones), and its answer to an absent API."""
FAST_CLONE = {"basebackup": [{"checkpoint": "fast"}]}
"""Without it pg_basebackup waits for a checkpoint that PostgreSQL spreads over minutes."""


NAMES = ("pgherd", "patroni-default", "patroni-aggressive")


def contenders(image: str, patroni_image: str, kubeconfig: str) -> dict[str, Contender]:
    text = (
        "ttl 20, loop_wait 1, retry_timeout 3 (the least that it allows), failsafe_mode on, clones by a fast checkpoint"
    )
    found: list[Contender] = [
        Pgherd(image, kubeconfig),
        Patroni(patroni_image, "patroni-default"),
        Patroni(patroni_image, "patroni-aggressive", AGGRESSIVE, FAST_CLONE, text),
    ]
    return {each.name: each for each in found}
