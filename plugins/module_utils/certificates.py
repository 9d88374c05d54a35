# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which certificates a cluster needs, under which names, and where pods mount them: data, one entry each."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from .names import host_names
from .pooler import CERTIFICATE as POOLER
from .pooler import USER as POOLER_USER

REPLICATION_USER = "pgherd_replication"


def wanted(cluster: Mapping[str, Any], extra: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Leaf certificates of a cluster as the `pki` module takes them.

    `kind` is what their users publish them under; `member` is the only pod that uses one, empty when all do.
    """
    name, namespace, domain = cluster["name"], cluster["namespace"], cluster["domain"]
    services = [
        form for service in ("primary", "replicas", "ha") for form in host_names(f"{name}-{service}", namespace, domain)
    ]
    pods = [form for member in cluster["members"] for form in _pod_names(cluster, member["pod"])]
    # A member that is no longer declared is dialled until it is gone, and it may lead. libpq takes a wildcard before
    # the Service's bare name; OpenSSL's own rules want another dot behind it, so that the declared are named as well.
    wild = [f"*.{form}" for form in host_names(f"{name}-pods", namespace, domain)]
    prefix = cluster["prefix"]
    server = {
        "kind": "server",
        "member": "",
        "secret": f"{name}-cluster-cert",
        "labels": {f"{prefix}cluster-certificate": "postgres-tls"},
        "common_name": f"{name}-primary"[:64],
        "dns": [*services, *wild, *pods, "localhost", *(each for each in extra if not is_address(each))],
        "addresses": [each for each in extra if is_address(each)],
        "server": True,
        "client": False,
    }
    replication = {
        "kind": "replication",
        "member": "",
        "secret": f"{name}-replication-cert",
        "labels": {f"{prefix}cluster-certificate": "replication-client-tls"},
        "common_name": REPLICATION_USER,
        "dns": [REPLICATION_USER],
        "addresses": [],
        "server": False,
        "client": True,
    }
    pooler = [_pooler(cluster)] if cluster["pooler"] else []
    return [server, replication, *pooler, *(_member(cluster, each) for each in cluster["members"])]


def _pooler(cluster: Mapping[str, Any]) -> dict[str, Any]:
    """It serves clients, by the Services' names, and logs the pooler in at the server, by its common name."""
    pools = [form for pool in cluster["pooler"]["pools"]
             for form in host_names(pool["name"], cluster["namespace"], cluster["domain"])]  # fmt: skip
    return {
        "kind": POOLER,
        "member": f"{cluster['name']}-pgbouncer",
        "secret": f"{cluster['name']}-pgbouncer",
        "labels": {**cluster["pooler"]["labels"], f"{cluster['prefix']}role": "pgbouncer"},
        "common_name": POOLER_USER,
        "dns": [*pools, "localhost"],
        "addresses": [],
        "server": True,
        "client": True,
    }


def _member(cluster: Mapping[str, Any], member: Mapping[str, Any]) -> dict[str, Any]:
    pod = member["pod"]
    return {
        "kind": "rest",
        "member": pod,
        "secret": f"{member['name']}-certs",
        "labels": {
            **member["labels"],
            f"{cluster['prefix']}instance-set": member["set"],
            f"{cluster['prefix']}instance": member["name"],
        },
        "common_name": pod,
        "dns": [*_pod_names(cluster, pod), pod, f"{cluster['name']}-pods", "localhost"],
        "addresses": ["127.0.0.1"],
        "server": True,
        "client": True,
    }


def is_address(name: Any) -> bool:
    """Whether a certificate must bear this as an IP address: clients look for those in a place of their own."""
    try:
        ipaddress.ip_address(name if isinstance(name, str) else "")
    except ValueError:
        return False
    return True


def _pod_names(cluster: Mapping[str, Any], pod: str) -> list[str]:
    return host_names(f"{pod}.{cluster['name']}-pods", cluster["namespace"], cluster["domain"])
