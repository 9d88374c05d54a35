# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be true of the API before anything is changed: reachable, namespace there, rights, node ports free."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from .apply import in_parallel
from .client import Api, ApiError
from .names import FIELD_MANAGER, KINDS, path

_MANAGE = ("get", "list", "create", "patch", "delete")
# What the play does itself, and what it hands on to the pods: nobody may grant a right that he does not have.
RIGHTS: Mapping[str, tuple[str, ...]] = {
    "ConfigMap": (*_MANAGE, "watch"),
    "Deployment": _MANAGE,
    "EndpointSlice": (*_MANAGE, "watch"),
    "NetworkPolicy": _MANAGE,
    "PersistentVolumeClaim": (*_MANAGE, "watch"),
    "Pod": ("get", "list", "watch", "patch", "delete"),
    "PodDisruptionBudget": _MANAGE,
    "Role": _MANAGE,
    "RoleBinding": _MANAGE,
    "Secret": (*_MANAGE, "watch"),
    "Service": _MANAGE,
    "ServiceAccount": _MANAGE,
    "StatefulSet": (*_MANAGE, "watch"),
}
_LOCK_RIGHTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "Endpoints": {"Endpoints": (*_MANAGE, "watch")},
    "EndpointSlice": {"ConfigMap": (*_MANAGE, "watch")},
}
# What asks for a custom resource.
VARIABLES: Mapping[str, str] = {
    "PodMonitor": "postgres_monitoring.pod_monitor",
    "PrometheusRule": "postgres_monitoring.rules",
}
_REVIEWS = "/apis/authorization.k8s.io/v1"


def rights(lock_kind: str) -> dict[str, tuple[str, ...]]:
    """Verbs by kind, with a lock of that kind."""
    return {**RIGHTS, **_LOCK_RIGHTS[lock_kind]}


def problems(
    api: Api,
    namespace: str,
    node_ports: Mapping[int, str],
    lock_kind: str = "Endpoints",
    custom_kinds: Sequence[str] = (),
) -> list[str]:
    """Everything that stands in the way, each in a sentence; raises Unreachable when nobody answers.

    `node_ports` maps a wanted node port to the Service of ours that asks for it; `custom_kinds` need a
    CustomResourceDefinition, and rights of their own.
    """
    unknown = list(_unknown_kinds(api, custom_kinds))
    if unknown:
        return unknown
    missing = list(_missing_rights(api, namespace, {**rights(lock_kind), **dict.fromkeys(custom_kinds, _MANAGE)}))
    if not _namespace_exists(api, namespace):
        return [
            f"namespace {namespace} does not exist. The play never makes namespaces: "
            "ask for it, or name another in postgres_namespace."
        ]
    if missing:
        resources = dict.fromkeys(resource for dummy, resource in missing)
        listed = "; ".join(
            f"{', '.join(verb for verb, other in missing if other == resource)} {resource}" for resource in resources
        )
        return [f"in namespace {namespace} this account lacks the right to {listed}."]
    return list(_taken_node_ports(api, node_ports, namespace)) if node_ports else []


def _unknown_kinds(api: Api, kinds: Sequence[str]) -> Iterator[str]:
    """By the API's own list of what it serves."""
    for kind in kinds:
        served = KINDS[kind][0]
        try:
            found = {each.get("kind") for each in api.request("GET", served).get("resources") or ()}
        except ApiError as error:
            if error.status != 404:
                raise
            found = set()
        if kind not in found:
            yield (
                f"{VARIABLES[kind]}: this Kubernetes does not know the kind {kind} ({served.removeprefix('/apis/')}). "
                "Install the Prometheus operator's CustomResourceDefinitions, or leave it out."
            )


def _namespace_exists(api: Api, namespace: str) -> bool:
    """Reading a Namespace is a cluster-wide right that an account need not have: then it is taken to be there,
    unless listing in it says otherwise, which Kubernetes does not for missing namespaces."""
    try:
        api.request("GET", f"/api/v1/namespaces/{namespace}")
    except ApiError as error:
        if error.status == 404:
            return False
        if error.status != 403:
            raise
    return True


def _missing_rights(api: Api, namespace: str, needed: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[str, str]]:
    """One review of all rules first; whatever it does not show is asked for one by one."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    rules = api.request("POST", f"{_REVIEWS}/selfsubjectrulesreviews", review)["status"]["resourceRules"]
    asked = [
        (verb, group, resource)
        for kind, verbs in needed.items()
        for group, resource in [(_group(kind), KINDS[kind][1])]
        for verb in verbs
        if not _granted(rules, verb, group, resource)
    ]

    def allowed(right: tuple[str, str, str]) -> bool:
        verb, group, resource = right
        attributes = {"namespace": namespace, "verb": verb, "group": group, "resource": resource}
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        return bool(api.request("POST", f"{_REVIEWS}/selfsubjectaccessreviews", body)["status"]["allowed"])

    for (verb, group, resource), fine in zip(asked, in_parallel(allowed, asked), strict=True):
        if not fine:
            yield verb, f"{resource}.{group}" if group else resource


def _group(kind: str) -> str:
    prefix = KINDS[kind][0]
    return prefix.split("/")[2] if prefix.startswith("/apis/") else ""


def _granted(rules: Sequence[Mapping[str, Any]], verb: str, group: str, resource: str) -> bool:
    return any(
        _has(rule.get("verbs"), verb) and _has(rule.get("apiGroups"), group) and _has(rule.get("resources"), resource)
        for rule in rules
        if not rule.get("resourceNames")
    )


def _has(values: Iterable[str] | None, value: str) -> bool:
    return any(each in ("*", value) for each in values or ())


def _taken_node_ports(api: Api, wanted: Mapping[int, str], namespace: str) -> Iterator[str]:
    """Node ports are one space for the whole cluster of nodes; without the right to look there, the API server is
    asked for each by a dry run, which says that it is in use but not by whom."""
    everywhere = True
    try:
        services = api.request("GET", "/api/v1/services")["items"]
    except ApiError as error:
        if error.status != 403:
            raise
        everywhere = False
        services = api.request("GET", path("Service", namespace))["items"]
    seen = set[int]()
    for service in services:
        found = (service["metadata"]["namespace"], service["metadata"]["name"])
        for port in service["spec"].get("ports") or ():
            owner = wanted.get(port.get("nodePort"))
            if owner:
                seen.add(port["nodePort"])
            if owner and found != (namespace, owner):
                yield (
                    f"{_asked(port['nodePort'], owner)} is in use by Service {found[1]} in namespace {found[0]}; "
                    "choose another or none."
                )
    for number, owner in wanted.items():
        if not everywhere and number not in seen and (reason := _refused_node_port(api, namespace, number)):
            yield f"{_asked(number, owner)} cannot be had: {reason}; choose another or none."


def _asked(number: int, owner: str) -> str:
    variables = {"-ha": "postgres_service_node_port", "-replicas": "postgres_replica_service_node_port"}
    found = [name for end, name in variables.items() if owner.endswith(end)]
    variable = found[0] if found else "postgres_pooler.node_port"
    return f"{variable}={number} of Service {owner}"


def _refused_node_port(api: Api, namespace: str, number: int) -> str:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"node-port-{number}", "namespace": namespace},
        "spec": {"type": "NodePort", "ports": [{"port": number, "nodePort": number}]},
    }
    try:
        api.request("POST", path("Service", namespace), service, {"fieldManager": FIELD_MANAGER, "dryRun": "All"})
    except ApiError as error:
        if error.status != 422:
            raise
        return error.message.rstrip(".")
    return ""
