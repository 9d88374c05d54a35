# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Poolers: PgBouncer before the primary, and another before the replicas, from variable `postgres_pooler`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .checks import Problems
from .object_metadata import both
from .scheduling import FIELDS as SCHEDULING
from .scheduling import scheduling

FIELDS = (
    "replicas", "read_only_replicas", "pool_mode", "port", "parameters", "databases", "resources", "service_type",
    "node_port", "labels", "annotations", *SCHEDULING,
)  # fmt: skip
POOL_MODES = ("session", "transaction", "statement")
SERVICE_TYPES = ("ClusterIP", "NodePort", "LoadBalancer")
RESOURCES: Mapping[str, Any] = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}}
ROLE = "pgbouncer"
READ_ONLY_ROLE = f"{ROLE}-ro"
CERTIFICATE = "pooler"
"""Kind of the certificate that all poolers use."""
USER = "pgherd_pooler"

# What the pooler's own process, its certificates and the agents rest on.
_OWN = re.compile(
    r"listen_.*|unix_socket_.*|auth_.*|admin_users|stats_users|(client|server)_tls_.*|pidfile|logfile|conffile|user"
    r"|service_name|job_name|pool_mode|so_reuseport|peer_id|resolv_conf"
)
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_DATABASE = re.compile(r"[A-Za-z0-9_.-]+|\*")


def pooler(values: Mapping[str, Any], cluster: Mapping[str, Any], problems: Problems) -> dict[str, Any] | None:
    """None without any. Each entry of `pools` is one Deployment with its Service."""
    where = "postgres_pooler"
    given = values[where]
    if given in ({}, None):
        return None
    fields = problems.fields(where, given, FIELDS)
    port = problems.integer(f"{where}.port", fields.get("port", 5432), 1024, 65535)
    if port == cluster["rest_port"]:
        problems.add(f"{where}.port", port, "is also postgres_rest_port; each listener needs a port of its own")
    kind = problems.choice(f"{where}.service_type", fields.get("service_type", "ClusterIP"), SERVICE_TYPES)
    node_port = fields.get("node_port")
    if node_port is not None:
        node_port = problems.integer(f"{where}.node_port", node_port, 1, 65535)
        if kind == "ClusterIP":
            problems.add(f"{where}.node_port", node_port, f"needs {where}.service_type NodePort or LoadBalancer")
    common = {
        "mode": problems.choice(f"{where}.pool_mode", fields.get("pool_mode", "transaction"), POOL_MODES),
        "port": port,
        "parameters": _parameters(f"{where}.parameters", fields.get("parameters") or {}, problems),
        "databases": _databases(f"{where}.databases", fields.get("databases") or {}, problems),
        "resources": problems.resources(f"{where}.resources", fields.get("resources", RESOURCES)),
        **both(fields, "", f"{where}.", cluster["prefix"], problems),
    }
    return {**common, "rest_port": cluster["rest_port"],
            "pools": _pools(fields, cluster, {"type": kind, "node_port": node_port}, problems)}  # fmt: skip


def way_in(cluster: Mapping[str, Any]) -> dict[str, Any] | None:
    """Where clients of the pool before the primary connect; None without one."""
    if not cluster["pooler"]:
        return None
    return {"host": f"{cluster['name']}-{ROLE}.{cluster['namespace']}.svc", "port": cluster["pooler"]["port"]}


def _pools(
    fields: Mapping[str, Any], cluster: Mapping[str, Any], service: Mapping[str, Any], problems: Problems
) -> list[dict[str, Any]]:
    where, name, pools = "postgres_pooler", cluster["name"], list[dict[str, Any]]()
    for field, role, target, pausable in (
        ("replicas", ROLE, f"{name}-primary", True),
        ("read_only_replicas", READ_ONLY_ROLE, f"{name}-replicas", False),
    ):
        count = problems.integer(f"{where}.{field}", fields.get(field, 1 if pausable else 0), 0, 100)
        if not pausable and not count:
            continue
        chosen = {key: each for key, each in fields.items() if key in SCHEDULING}
        placed = scheduling(chosen, where, cluster, count, problems, role)
        pools.append(
            {"name": f"{name}-{role}", "role": role, "host": f"{target}.{cluster['namespace']}.svc", "replicas": count,
             "pausable": pausable, **placed,
             **(service if pausable else {"type": service["type"], "node_port": None})}
        )  # fmt: skip
    return pools


def _parameters(where: str, given: Any, problems: Problems) -> dict[str, str]:
    """Section [pgbouncer], over what pgherd sets there."""
    found = problems.mapping(where, given)
    for name, value in found.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            problems.add(f"{where}.{name}", value, "must be the name of one of PgBouncer's settings")
        elif _OWN.fullmatch(name):
            problems.add(f"{where}.{name}", value, "belongs to pgherd; pool_mode and port are fields of their own")
        elif isinstance(value, bool) or not isinstance(value, (str, int, float)) or "\n" in str(value):
            problems.add(f"{where}.{name}", value, "must be a number or a text in one line")
    return {str(name): str(value) for name, value in found.items()}


def _databases(where: str, given: Any, problems: Problems) -> dict[str, str]:
    """Section [databases], instead of one entry for all of them; where the server is, is pgherd's."""
    found = problems.mapping(where, given)
    for name, value in found.items():
        if not isinstance(name, str) or not _DATABASE.fullmatch(name):
            problems.add(f"{where}.{name}", value, "the name must be of letters, digits, _, . and -, or *")
        elif not isinstance(value, str) or "\n" in value:
            problems.add(f"{where}.{name}", value, "must be PgBouncer's text for a database, such as pool_size=20")
        elif re.search(r"\b(host|port|auth_[a-z]+|user|password)\s*=", value):
            problems.add(f"{where}.{name}", value, "must not say host, port or who logs in: these are pgherd's")
    return {str(name): str(value) for name, value in found.items()}
