"""The demonstration's view of the cluster, through kubectl and `pgherd` in a pod, as an operator has it."""

from __future__ import annotations

import json
from typing import Any

from pgherd_lab.demo.console import Failed, document, output
from pgherd_lab.demo.objects import NAMESPACE

ANSWER = 10.0
"""Seconds for `pgherd` in a pod: a second for the agents, and the rest for a busy machine."""


class Cluster:
    """One PostgreSQL cluster on the lab; holds nothing but names."""

    def __init__(self, name: str, kubectl: tuple[str, ...], namespace: str = NAMESPACE) -> None:
        self.name = name
        self.kubectl = (*kubectl, "--namespace", namespace)

    def get(self, *what: str) -> Any:
        return document((*self.kubectl, "get", *what, "-o", "json"))

    def apply(self, *objects: dict[str, Any]) -> None:
        items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        output((*self.kubectl, "apply", "--server-side", "-f", "-"), stdin=json.dumps(items))

    def delete(self, kind: str, name: str) -> None:
        command = (*self.kubectl, "delete", kind, name, "--ignore-not-found", "--wait=true", "--grace-period=1")
        output(command, limit=60)

    def execute(self, pod: str, *command: str, limit: float = 30) -> str:
        return output((*self.kubectl, "exec", pod, "--", *command), limit=limit)

    def pods(self) -> dict[str, str]:
        """Members' pods and their nodes, only those that answer (Ready)."""
        selector = f"pgherd.dev/cluster={self.name},pgherd.dev/data=postgres"
        found = {}
        for pod in self.get("pods", "-l", selector)["items"]:
            ready = {c["type"]: c["status"] for c in pod["status"].get("conditions", [])}.get("Ready")
            if ready == "True":
                found[pod["metadata"]["name"]] = pod["spec"].get("nodeName", "")
        return found

    def lock(self) -> dict[str, str]:
        """Annotations of the lock object."""
        annotations: dict[str, str] = self.get("endpoints", f"{self.name}-ha")["metadata"].get("annotations", {})
        return annotations

    def history(self) -> list[dict[str, Any]]:
        config = self.get("endpoints", f"{self.name}-ha-config")["metadata"].get("annotations", {})
        receipts: list[dict[str, Any]] = json.loads(config.get("history") or "[]")
        return receipts

    def ask(self, *arguments: str) -> str:
        """`pgherd ARGUMENTS` in the first pod that answers: the table works from any of them.

        The leader's goes first: a pod on a dead node looks Ready for a while, and nobody answers there.
        """
        problem, leader = "no pod is Ready", self.lock().get("leader")
        for pod in sorted(self.pods(), key=lambda name: (name != leader, name)):
            try:
                return self.execute(pod, "pgherd", *arguments, limit=ANSWER)
            except Failed as error:
                problem = str(error)
        raise Failed(problem)

    def members(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.ask("list", "--format", "json"))["members"]
        return found


def settled(cluster: Cluster, replicas: int = 2) -> list[dict[str, Any]] | None:
    """The members once one leads and all replicas stream and may take the lease."""
    members = cluster.members()
    streaming = sum(member["state"] == "streaming" and member["candidate"] for member in members)
    leaders = sum(member["role"] == "leader" for member in members)
    return members if leaders == 1 and streaming == replicas else None
