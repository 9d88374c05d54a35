"""The same objects for both: an inventory for the play, and for kubernetes.core what the play made of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

KINDS = (
    "serviceaccounts", "roles", "secrets", "configmaps", "services", "persistentvolumeclaims", "networkpolicies",
    "rolebindings", "endpoints", "poddisruptionbudgets", "statefulsets",
)  # fmt: skip
_KEPT_BY_SERVER = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid")


def inventory(path: Path, namespace: str, clusters: int) -> None:
    """One host for each cluster of three members; nobody waits for pods, because there are no nodes."""
    settings = {
        "ansible_connection": "local",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        "postgres_namespace": namespace,
        "postgres_image": "registry.example/pgherd:bench",
        "postgres_instances": [{"name": "instance1", "replicas": 3, "storage": "1Gi"}],
        "postgres_wait": False,
    }
    hosts = {f"bench{index:02d}": None for index in range(1, clusters + 1)}
    path.write_text(yaml.safe_dump({"postgres_clusters": {"vars": settings, "hosts": hosts}}))


def made(kubectl: Sequence[str], namespace: str, other: str) -> dict[str, list[dict[str, Any]]]:
    """By cluster what the play made, as somebody would declare it for the other namespace; later kinds need earlier."""
    found: dict[str, list[dict[str, Any]]] = {}
    for kind in KINDS:
        text = subprocess.run(
            [*kubectl, "--namespace", namespace, "get", kind, "-l", "pgherd.dev/cluster", "-o", "json"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        for item in json.loads(text)["items"]:
            cluster = item["metadata"]["labels"]["pgherd.dev/cluster"]
            found.setdefault(cluster, []).append(declared(item, other))
    return found


def declared(item: dict[str, Any], namespace: str) -> dict[str, Any]:
    """Without what the server keeps or allocates."""
    metadata = {key: value for key, value in item["metadata"].items() if key not in _KEPT_BY_SERVER}
    result = {**item, "metadata": {**metadata, "namespace": namespace}}
    result.pop("status", None)
    if item["kind"] == "Service" and item["spec"].get("clusterIP") != "None":
        spec = {key: value for key, value in item["spec"].items() if key not in ("clusterIP", "clusterIPs")}
        result["spec"] = spec
    if item["kind"] == "RoleBinding":
        result["subjects"] = [{**each, "namespace": namespace} for each in item["subjects"]]
    return result
