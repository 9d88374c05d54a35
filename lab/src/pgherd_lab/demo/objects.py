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


def script(name: str = NAMESPACE) -> dict[str, Any]:
    text = (Path(__file__).parent / "writer.py").read_text()
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": WRITER, "namespace": name},
        "data": {"writer.py": text},
    }


def writer(image: str, cluster: str, user: str, run: str, avoid: str, name: str = NAMESPACE) -> dict[str, Any]:
    """The pod that writes, on any node but the one that is about to be broken."""
    container = {
        "name": "writer",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "/writer/writer.py", "write", run, "/data/writes.jsonl"],
        "env": [{"name": "URI", "valueFrom": {"secretKeyRef": {"name": f"{cluster}-pguser-{user}", "key": "uri"}}}],
        "volumeMounts": [
            {"name": "script", "mountPath": "/writer"},
            {"name": "cluster", "mountPath": "/cluster"},
            {"name": "data", "mountPath": "/data"},
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    authority = {"name": f"{cluster}-cluster-cert", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    elsewhere = {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": [avoid]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": WRITER, "namespace": name, "labels": {"app": WRITER}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "enableServiceLinks": False,
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True, "runAsUser": 26, "runAsGroup": 26, "fsGroup": 26,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [
                {"name": "script", "configMap": {"name": WRITER}},
                {"name": "cluster", "secret": {"secretName": authority["name"], "items": authority["items"]}},
                {"name": "data", "emptyDir": {}},
            ],
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [{"matchExpressions": [elsewhere]}]
                    }
                }
            },
        },
    }  # fmt: skip
