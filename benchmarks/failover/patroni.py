"""Patroni's objects: one StatefulSet in Endpoints mode, as its own Kubernetes example has it, and its configuration.

What differs from that example is in Patroni's favour or the same for both sides: persistent volumes, all members
started at once, its readiness and liveness endpoints as probes, and the time and resources that pgherd's pods get.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from benchmarks.failover.objects import CONTAINED, DATABASE, PASSWORD, RESOURCES, RESTRICTED, USER, secret

SCOPE = "patroni"
LABELS = {"application": "patroni", "cluster-name": SCOPE}
SUPERUSER, REPLICATION = "superuser-password", "replication-password"
HOME = "/var/lib/postgresql"

CREATE_USER = f"""#!/bin/sh
set -eu
psql -d "$1" -c "CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'" -c "CREATE DATABASE {DATABASE} OWNER {USER}"
"""


def configuration(dynamic: Mapping[str, Any], local: Mapping[str, Any]) -> str:
    """patroni.yml; `dynamic` and `local` (of its section postgresql) are what differs between the variants.

    Both empty: Patroni's own defaults.
    """
    return yaml.safe_dump(
        {
            "bootstrap": {
                "dcs": {**dynamic, "postgresql": {"use_pg_rewind": True}},
                "initdb": [
                    {"auth-host": "scram-sha-256"}, {"auth-local": "trust"}, {"encoding": "UTF8"},
                    {"locale": "C.UTF-8"}, "data-checksums",
                ],
                "post_bootstrap": "/etc/patroni/post-bootstrap",
            },
            "postgresql": {
                **local,
                "bin_dir": "/usr/lib/postgresql/17/bin",
                "parameters": {"unix_socket_directories": "/tmp"},
                "pg_hba": [
                    "local all all trust", "host replication standby all scram-sha-256",
                    "host all all all scram-sha-256",
                ],
            },
            "kubernetes": {"use_endpoints": True, "labels": LABELS},
        },
        sort_keys=False,
    )  # fmt: skip


def _field(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _key(name: str, key: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": SCOPE, "key": key}}}


def environment() -> list[dict[str, Any]]:
    fixed = {
        "HOME": HOME, "PATRONI_SCOPE": SCOPE,
        "PATRONI_SUPERUSER_USERNAME": "postgres", "PATRONI_REPLICATION_USERNAME": "standby",
        "PATRONI_POSTGRESQL_DATA_DIR": "/pgdata/data", "PATRONI_POSTGRESQL_PGPASS": "/tmp/pgpass",
        "PATRONI_POSTGRESQL_LISTEN": "0.0.0.0:5432", "PATRONI_RESTAPI_LISTEN": "0.0.0.0:8008",
        "PATRONI_POSTGRESQL_CONNECT_ADDRESS": "$(POD_IP):5432",
        "PATRONI_RESTAPI_CONNECT_ADDRESS": "$(POD_IP):8008", "PATRONI_KUBERNETES_POD_IP": "$(POD_IP)",
    }  # fmt: skip
    return [
        _field("POD_IP", "status.podIP"), _field("PATRONI_NAME", "metadata.name"),
        _field("PATRONI_KUBERNETES_NAMESPACE", "metadata.namespace"),
        _key("PATRONI_SUPERUSER_PASSWORD", SUPERUSER), _key("PATRONI_REPLICATION_PASSWORD", REPLICATION),
        *({"name": name, "value": value} for name, value in fixed.items()),
    ]  # fmt: skip


def _probe(path: str) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": 8008}, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3}


def container(image: str) -> dict[str, Any]:
    places = {"pgdata": "/pgdata", "config": "/etc/patroni", "tmp": "/tmp", "home": HOME, "dshm": "/dev/shm"}
    return {
        "name": "database", "image": image, "imagePullPolicy": "IfNotPresent",
        "ports": [{"name": "postgres", "containerPort": 5432}, {"name": "rest", "containerPort": 8008}],
        "env": environment(), "resources": RESOURCES, "securityContext": CONTAINED,
        "readinessProbe": {**_probe("/readiness"), "initialDelaySeconds": 3},
        "livenessProbe": {**_probe("/liveness"), "initialDelaySeconds": 3},
        "volumeMounts": [{"name": name, "mountPath": path} for name, path in places.items()],
    }  # fmt: skip


def affinity() -> dict[str, Any]:
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": LABELS}}
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def stateful_set(image: str) -> dict[str, Any]:
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": SCOPE, "labels": LABELS},
        "spec": {
            "replicas": 3, "serviceName": f"{SCOPE}-pods", "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": LABELS},
            "template": {
                "metadata": {"labels": LABELS},
                "spec": {
                    "serviceAccountName": SCOPE, "terminationGracePeriodSeconds": 60, "enableServiceLinks": False,
                    "securityContext": RESTRICTED, "affinity": affinity(), "containers": [container(image)],
                    "volumes": [
                        {"name": "config", "configMap": {"name": f"{SCOPE}-settings", "defaultMode": 0o555}},
                        {"name": "tmp", "emptyDir": {}}, {"name": "home", "emptyDir": {}},
                        {"name": "dshm", "emptyDir": {"medium": "Memory", "sizeLimit": "256Mi"}},
                    ],
                },
            },
            "volumeClaimTemplates": [{"metadata": {"name": "pgdata", "labels": LABELS}, "spec": claim}],
        },
    }  # fmt: skip


def rights() -> list[dict[str, Any]]:
    everything = ["create", "get", "list", "patch", "update", "watch", "delete", "deletecollection"]
    rules = [
        {"apiGroups": [""], "resources": ["configmaps", "endpoints"], "verbs": everything},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "patch", "update", "watch"]},
        {"apiGroups": [""], "resources": ["services"], "verbs": ["create"]},
    ]
    group = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": SCOPE}},
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": {"name": SCOPE}, "rules": rules},
        {
            "apiVersion": f"{group}/v1", "kind": "RoleBinding", "metadata": {"name": SCOPE},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": SCOPE},
            "subjects": [{"kind": "ServiceAccount", "name": SCOPE}],
        },
    ]  # fmt: skip


def services() -> list[dict[str, Any]]:
    """`patroni` leads to the leader's address, which Patroni writes; the Endpoints of that name are its lock."""
    port = [{"port": 5432, "targetPort": 5432}]  # without a name, as Patroni writes it into the Endpoints
    headless = {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": LABELS, "ports": port}

    def service(name: str, spec: dict[str, Any]) -> dict[str, Any]:
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": LABELS}, "spec": spec}

    return [
        service(SCOPE, {"type": "ClusterIP", "ports": port}),
        service(f"{SCOPE}-config", {"clusterIP": "None"}),
        service(f"{SCOPE}-pods", headless),
    ]


def objects(dynamic: Mapping[str, Any], local: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All but the StatefulSet."""
    data = {"patroni.yml": configuration(dynamic, local), "post-bootstrap": CREATE_USER}
    return [
        *rights(), *services(),
        secret(SCOPE, {SUPERUSER: "bench-superuser", REPLICATION: "bench-replication"}),
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"{SCOPE}-settings"}, "data": data},
    ]  # fmt: skip
