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

SERVICE_TYPES = ("ClusterIP", "NodePort", "LoadBalancer")


def client_services(values: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    services = {}
    for role, prefix in (("primary", "postgres_service"), ("replica", "postgres_replica_service")):
        kind = problems.choice(f"{prefix}_type", values[f"{prefix}_type"], SERVICE_TYPES)
        node_port = values[f"{prefix}_node_port"]
        if node_port is not None:
            node_port = problems.integer(f"{prefix}_node_port", node_port, 1, 65535)
            if kind == "ClusterIP":
                problems.add(f"{prefix}_node_port", node_port, f"needs {prefix}_type NodePort or LoadBalancer")
        services[role] = {"type": kind, "node_port": node_port}
    ports = [each["node_port"] for each in services.values() if each["node_port"]]
    if len(ports) != len(set(ports)):
        problems.add("postgres_replica_service_node_port", ports[1], "is also postgres_service_node_port")
    return services


def certificate_names(given: Any, problems: Problems) -> list[str]:
    names = problems.sequence("postgres_certificate_names", given)
    for each in names:
        bare = each.removeprefix("*.").lower() if isinstance(each, str) else ""
        if not DNS_NAME.fullmatch(bare) and not is_address(each):
            problems.add("postgres_certificate_names", each, f"{DNS_RULE}, perhaps with *. before it, or an IP address")
    return names
