"""Kubernetes objects of the comparison that belong to nobody's product: namespaces, the user's Secret, the client."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

USER, DATABASE, PASSWORD = "app", "app", "bench-of-a-throwaway-lab"
CLIENT = "client"
CLIENT_NODE = "node4"
"""Has no database, so that no fault of a database's node reaches the client."""

RESTRICTED = {
    "runAsNonRoot": True, "runAsUser": 26, "runAsGroup": 26, "fsGroup": 26,
    "seccompProfile": {"type": "RuntimeDefault"},
}  # fmt: skip
CONTAINED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
RESOURCES = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}
"""What every member of every contender gets: pgherd's defaults."""


def namespace(name: str) -> dict[str, Any]:
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "pgherd.dev/lab": "bench"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def secret(name: str, values: Mapping[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": dict(values)}


def script() -> dict[str, Any]:
    text = (Path(__file__).parent / "client.py").read_text()
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": CLIENT}, "data": {"client.py": text}}


def client(image: str, service: str, members: Mapping[str, str]) -> dict[str, Any]:
    """The pod with the watcher; a run starts its writers there. `members`: name -> host name."""
    environment = {
        "PGUSER": USER, "PGPASSWORD": PASSWORD, "PGDATABASE": DATABASE, "HOME": "/data",
        "SERVICE": service, "MEMBERS": json.dumps(dict(members)),
    }  # fmt: skip
    container = {
        "name": CLIENT, "image": image, "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "/client/client.py", "watch"],
        "env": [{"name": key, "value": value} for key, value in environment.items()],
        "volumeMounts": [{"name": "script", "mountPath": "/client"}, {"name": "data", "mountPath": "/data"}],
        "securityContext": CONTAINED,
    }  # fmt: skip
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": CLIENT},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": CLIENT_NODE},
            "tolerations": [{"operator": "Exists"}],
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 1,
            "enableServiceLinks": False, "automountServiceAccountToken": False,
            "securityContext": RESTRICTED, "containers": [container],
            "volumes": [
                {"name": "script", "configMap": {"name": CLIENT}}, {"name": "data", "emptyDir": {}},
            ],
        },
    }  # fmt: skip
