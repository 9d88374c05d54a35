# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody changed in a Service and server-side apply cannot restore alone.

Apply keys ports by number and protocol: after somebody edited a port's number, applying would add the declared
port beside the edited one, which then belongs to nobody. And it leaves alone what nobody declares, though a selector
added to a Service without one would send clients past the lock, and unready members would be routed to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Fields that decide where clients end, with Kubernetes' own value where a Service declares none; None: absent.
_UNDECLARED: Mapping[str, Any] = {
    "selector": None,
    "publishNotReadyAddresses": None,
    "sessionAffinity": "None",
    # Forbidden beside sessionAffinity None, and filled in by the API server beside ClientIP.
    "sessionAffinityConfig": None,
    "internalTrafficPolicy": "Cluster",
    "externalTrafficPolicy": "Cluster",
    "trafficDistribution": None,
}


def exact_patch(definition: Mapping[str, Any], live: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """A JSON patch that undoes what was added or changed beside the declaration; None when there is nothing."""
    if definition["kind"] != "Service":
        return None
    declared, found = definition["spec"], live["spec"]
    operations = list[dict[str, Any]]()
    ports, live_ports = declared.get("ports") or [], found.get("ports") or []
    if {_key(port) for port in live_ports} - {_key(port) for port in ports}:
        kept = [_with_node_port(port, declared, live_ports) for port in ports]
        operations.append({"op": "replace", "path": "/spec/ports", "value": kept})
    for name, value in _UNDECLARED.items():
        if name in declared or found.get(name) in (None, value) or found[name] in ({}, False):
            continue
        removal = {"op": "remove", "path": f"/spec/{name}"}
        operations.append(removal if value is None else {**removal, "op": "replace", "value": value})
    if not operations:
        return None
    version = {"op": "test", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]}
    return [version, *operations]


def _key(port: Mapping[str, Any]) -> tuple[int, str]:
    return port["port"], port.get("protocol", "TCP")


def _with_node_port(port: dict[str, Any], spec: Mapping[str, Any], live: list[dict[str, Any]]) -> dict[str, Any]:
    """Keep the allocated node port, which clients outside know, under the port's name."""
    if "nodePort" in port or spec.get("type", "ClusterIP") == "ClusterIP":
        return port
    allocated = [each["nodePort"] for each in live if each.get("nodePort") and each.get("name") == port.get("name")]
    return {**port, "nodePort": allocated[0]} if allocated else port
