# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names: what Kubernetes takes, what members are called, and where each kind lives in the API."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

FIELD_MANAGER = "pgherd-play"

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
DNS_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
LABEL_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?/")

PREFIX = "pgherd.dev/"
PGO_PREFIX = "postgres-operator.crunchydata.com/"

NAME_RULE = (
    "must be a name that Kubernetes takes: up to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit"
)
DNS_RULE = "must be a DNS name: a-z, 0-9, - and dots"

LONGEST_CLUSTER_AND_SET = 46
"""Characters of cluster and set together; longer ones make pod names and labels that Kubernetes refuses."""
LONGEST_MEMBER = LONGEST_CLUSTER_AND_SET + len("--xxxx")

# kind -> (prefix of the path, plural)
KINDS: Mapping[str, tuple[str, str]] = {
    "ConfigMap": ("/api/v1", "configmaps"),
    "Endpoints": ("/api/v1", "endpoints"),
    "Deployment": ("/apis/apps/v1", "deployments"),
    "EndpointSlice": ("/apis/discovery.k8s.io/v1", "endpointslices"),
    "NetworkPolicy": ("/apis/networking.k8s.io/v1", "networkpolicies"),
    "PersistentVolumeClaim": ("/api/v1", "persistentvolumeclaims"),
    "Pod": ("/api/v1", "pods"),
    "PodDisruptionBudget": ("/apis/policy/v1", "poddisruptionbudgets"),
    "PodMonitor": ("/apis/monitoring.coreos.com/v1", "podmonitors"),
    "PrometheusRule": ("/apis/monitoring.coreos.com/v1", "prometheusrules"),
    "Role": ("/apis/rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": ("/apis/rbac.authorization.k8s.io/v1", "rolebindings"),
    "Secret": ("/api/v1", "secrets"),
    "Service": ("/api/v1", "services"),
    "ServiceAccount": ("/api/v1", "serviceaccounts"),
    "StatefulSet": ("/apis/apps/v1", "statefulsets"),
}

# Only where somebody has installed their CustomResourceDefinitions.
CUSTOM_KINDS = ("PodMonitor", "PrometheusRule")

# `postgres_lock` -> kind of the object that is lock and address of the primary's Service; the configuration goes along.
LOCK_KINDS: Mapping[str, str] = {"endpoints": "Endpoints", "endpointslice": "EndpointSlice"}
CONFIGURATION_KINDS: Mapping[str, str] = {"Endpoints": "Endpoints", "EndpointSlice": "ConfigMap"}


def path(kind: str, namespace: str, name: str | None = None) -> str:
    """Path of a collection, or of one object when it is named. Raises KeyError for a kind that pgherd never writes."""
    prefix, plural = KINDS[kind]
    return f"{prefix}/namespaces/{namespace}/{plural}" + (f"/{name}" if name else "")


def path_of(definition: Mapping[str, Any], collection: bool = False) -> str:
    metadata = definition["metadata"]
    return path(definition["kind"], metadata["namespace"], None if collection else metadata["name"])


def key_of(definition: Mapping[str, Any]) -> tuple[str, str]:
    return definition["kind"], definition["metadata"]["name"]


def suffixes(cluster: str, instance_set: str, index: int) -> Iterator[str]:
    """Four-character suffixes for one member, best first: stable, so that no state has to be kept."""
    digest = hashlib.sha256(f"{cluster}/{instance_set}/{index}".encode()).digest()
    text = base64.b32encode(digest).decode().rstrip("=").lower()
    for start in range(0, len(text) - 3, 4):
        yield text[start : start + 4]


def member_names(cluster: str, instance_set: str, replicas: int, taken: Iterable[str] = ()) -> list[str]:
    """Names of a set's members by index from 0; the last one is the first that scale-down removes."""
    used, names = set(taken), list[str]()
    for index in range(replicas):
        for suffix in suffixes(cluster, instance_set, index):
            name = f"{cluster}-{instance_set}-{suffix}"
            if name not in used:
                used.add(name)
                names.append(name)
                break
        else:
            raise ValueError(f"no free name for member {index} of set {instance_set}")
    return names


def host_names(name: str, namespace: str, domain: str) -> list[str]:
    """The four forms under which pods find a Service or a pod, longest first."""
    return [f"{name}.{namespace}.svc.{domain}", f"{name}.{namespace}.svc", f"{name}.{namespace}", name]


def rendered_names(cluster: Mapping[str, Any]) -> dict[str, list[str]]:
    """Names of what role cluster renders, by kind. A unit test compares them with the templates."""
    name = cluster["name"]
    members = [each["name"] for each in cluster["members"]]
    services = ["ha", *(["ha-config"] if cluster["lock"] == "endpoints" else []), "pods", "primary", "replicas"]
    budgets = [f"{name}-set-{each['name']}" for each in cluster["sets"] if each["min_available"]]
    claims = [claim["name"] for member in cluster["members"] for claim in member["claims"]]
    pools = (cluster["pooler"] or {}).get("pools", [])
    poolers = [each["name"] for each in pools]
    budgets += [each["name"] for each in pools if each["min_available"]]
    return {
        "ConfigMap": [f"{name}-config", f"{name}-users", *poolers],
        **({"Deployment": poolers} if poolers else {}),
        cluster["lock_kind"]: [f"{name}-primary"],
        **({"NetworkPolicy": [f"{name}-members"]} if cluster["network"]["policy"] else {}),
        "PersistentVolumeClaim": claims,
        **({"PodDisruptionBudget": budgets} if budgets else {}),
        **{kind: [name] for kind in cluster["monitoring"]["kinds"]},
        "Role": [f"{name}-instance"],
        "RoleBinding": [f"{name}-instance"],
        "Service": [*(f"{name}-{each}" for each in services), *poolers],
        "ServiceAccount": [f"{name}-instance"],
        "StatefulSet": members,
    }
