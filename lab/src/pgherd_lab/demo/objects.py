"""Kubernetes objects of the demonstration: the namespace that it uses and the writer's pod."""

from __future__ import annotations

from pathlib import Path
from typing import Any

NAMESPACE = "databases"
WRITER = "writer"


def namespace(name: str = NAMESPACE) -> dict[str, Any]:
    """A namespace that enforces restricted Pod Security, as a platform team would hand it out."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "pgherd.dev/lab": "demo"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def script() -> dict[str, Any]:
    text = (Path(__file__).parent / "writer.py").read_text()
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": WRITER}, "data": {"writer.py": text}}


RESTRICTED = {
    "runAsNonRoot": True, "runAsUser": 26, "runAsGroup": 26, "fsGroup": 26,
    "seccompProfile": {"type": "RuntimeDefault"},
}  # fmt: skip
CONTAINED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


def elsewhere(node: str) -> dict[str, Any]:
    """Affinity to any node but this one."""
    rule = {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": [node]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [rule]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


def client(name: str, image: str, cluster: str, user: str, command: list[str], **spec: Any) -> dict[str, Any]:
    """A pod with psql, python3 and psycopg, the user's URI, the cluster's CA and a folder of its own.

    `spec` adds to the pod's spec (affinity), `env` to its environment.
    """
    environment = {"HOME": "/data", **spec.pop("env", {})}
    uri = {"name": "URI", "valueFrom": {"secretKeyRef": {"name": f"{cluster}-pguser-{user}", "key": "uri"}}}
    container = {
        "name": "client",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "env": [uri, *({"name": key, "value": value} for key, value in environment.items())],
        "volumeMounts": [
            {"name": "script", "mountPath": "/writer"},
            {"name": "cluster", "mountPath": "/cluster"},
            {"name": "data", "mountPath": "/data"},
        ],
        "securityContext": CONTAINED,
    }
    authority = {"secretName": f"{cluster}-cluster-cert", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "client"}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "enableServiceLinks": False,
            "automountServiceAccountToken": False,
            "securityContext": RESTRICTED,
            "containers": [container],
            "volumes": [
                {"name": "script", "configMap": {"name": WRITER}},
                {"name": "cluster", "secret": authority},
                {"name": "data", "emptyDir": {}},
            ],
            **spec,
        },
    }


def writer(image: str, cluster: str, user: str, run: str, avoid: str) -> dict[str, Any]:
    """The pod that writes through `<cluster>-primary`, on any node but the one that is about to be broken."""
    return client(WRITER, image, cluster, user, write_command(run), affinity=elsewhere(avoid))


def write_command(run: str) -> list[str]:
    return ["python3", "/writer/writer.py", "write", run, "/data/writes.jsonl"]
