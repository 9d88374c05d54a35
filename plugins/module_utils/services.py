# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists of a Service that server-side apply cannot restore alone.

Apply keys ports by number and protocol: after somebody edited a port's number, applying would add the declared
port beside the edited one, which then belongs to nobody. And a selector added to a Service that declares none
would send clients past the lock. Both are compared and replaced as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def exact_patch(definition: Mapping[str, Any], live: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """A JSON patch that makes ports and selector exactly the declared ones; None when nothing is left over."""
    if definition["kind"] != "Service":
        return None
    declared, found = definition["spec"], live["spec"]
    operations = list[dict[str, Any]]()
    ports, live_ports = declared.get("ports") or [], found.get("ports") or []
    if {_key(port) for port in live_ports} - {_key(port) for port in ports}:
        kept = [_with_node_port(port, declared, live_ports) for port in ports]
        operations.append({"op": "replace", "path": "/spec/ports", "value": kept})
    if found.get("selector") and not declared.get("selector"):
        operations.append({"op": "remove", "path": "/spec/selector"})
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
