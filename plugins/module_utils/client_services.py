# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Services through which clients come, and the names by which they may call the server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .certificates import is_address
from .checks import Problems
from .names import DNS_NAME, DNS_RULE
from .object_metadata import both

SERVICE_TYPES = ("ClusterIP", "NodePort", "LoadBalancer")
PREFIXES: Mapping[str, str] = {"primary": "postgres_service", "replica": "postgres_replica_service"}
_POLICIES = ("Cluster", "Local")
# Field of a Service's spec -> end of the variable's name, and what is allowed.
CHOICES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "ipFamilyPolicy": ("ip_family_policy", ("SingleStack", "PreferDualStack", "RequireDualStack")),
    "internalTrafficPolicy": ("internal_traffic_policy", _POLICIES),
    "externalTrafficPolicy": ("external_traffic_policy", _POLICIES),
}


def client_services(values: Mapping[str, Any], own: str, problems: Problems) -> dict[str, Any]:
    """`own` is the prefix of pgherd's labels."""
    services = {}
    for role, prefix in PREFIXES.items():
        kind = problems.choice(f"{prefix}_type", values[f"{prefix}_type"], SERVICE_TYPES)
        node_port = values[f"{prefix}_node_port"]
        if node_port is not None:
            node_port = problems.integer(f"{prefix}_node_port", node_port, 1, 65535)
            if kind == "ClusterIP":
                problems.add(f"{prefix}_node_port", node_port, f"needs {prefix}_type NodePort or LoadBalancer")
        services[role] = {
            "type": kind,
            "node_port": node_port,
            "spec": _spec(values, prefix, kind, problems),
            **both(values, f"{prefix}_", "", own, problems),
        }
    return services


def _spec(values: Mapping[str, Any], prefix: str, kind: str, problems: Problems) -> dict[str, Any]:
    """Fields of the Service's spec that are given, under Kubernetes' names."""
    found = dict[str, Any]()
    for field, (name, allowed) in CHOICES.items():
        value = values[f"{prefix}_{name}"]
        if value not in (None, ""):
            found[field] = problems.choice(f"{prefix}_{name}", value, allowed)
    if "externalTrafficPolicy" in found and kind == "ClusterIP":
        name = f"{prefix}_external_traffic_policy"
        problems.add(name, values[name], f"needs {prefix}_type NodePort or LoadBalancer")
    families = problems.sequence(f"{prefix}_ip_families", values[f"{prefix}_ip_families"])
    for each in families:
        problems.choice(f"{prefix}_ip_families", each, ("IPv4", "IPv6"))
    if len(families) > len(set(map(str, families))):
        problems.add(f"{prefix}_ip_families", families, "must not name a family twice")
    return {**found, **({"ipFamilies": families} if families else {})}


def certificate_names(given: Any, problems: Problems) -> list[str]:
    names = problems.sequence("postgres_certificate_names", given)
    for each in names:
        bare = each.removeprefix("*.").lower() if isinstance(each, str) else ""
        if not DNS_NAME.fullmatch(bare) and not is_address(each):
            problems.add("postgres_certificate_names", each, f"{DNS_RULE}, perhaps with *. before it, or an IP address")
    return names
