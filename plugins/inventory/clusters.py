# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clusters and members as they are now, so that nobody writes into a file who leads."""

from __future__ import annotations

DOCUMENTATION = r"""
name: clusters
short_description: PostgreSQL clusters and their members, discovered live
version_added: 0.1.0
author:
  - pgherd contributors (@pgherd)
description:
  - Finds clusters by their labels in namespaces of a Kubernetes cluster. Each cluster is a host in group
    C(postgres_clusters), for which the playbooks of this collection work, and each member is a host in group
    C(postgres_members), named like its pod.
  - Members are also in a group of their cluster, C(cluster_<name>), and of their role, C(role_primary),
    C(role_replica) or C(role_none). A member that is a replica but takes no connections of clients is in
    C(role_noloadbalance).
  - Its file must end with C(pgherd.yml) or C(pgherd.yaml).
extends_documentation_fragment:
  - constructed
  - inventory_cache
  - kubernetes.core.k8s_auth_options
options:
  plugin:
    description: Says that this plugin is meant.
    type: str
    required: true
    choices: [pgherd.postgres.clusters]
  namespaces:
    description:
      - Where to look. Without it everywhere, which needs the right to list pods in all namespaces.
      - With exactly one the hosts have bare names, else C(<name>.<namespace>), so that no name depends on what else
        there is.
    type: list
    elements: str
    default: []
  label_prefix:
    description: Prefix of the clusters' labels.
    type: str
    default: pgherd.dev/
notes:
  - Hosts of clusters have the variables C(postgres_cluster_name), C(postgres_namespace), C(postgres_lock),
    C(postgres_label_prefix), C(pgherd_leader), C(pgherd_timeline), C(pgherd_epoch), C(pgherd_members) and
    C(pgherd_paused).
  - Hosts of members have C(pgherd_cluster), C(pgherd_namespace), C(pgherd_pod), C(pgherd_role), C(pgherd_leads),
    C(pgherd_candidate), C(pgherd_timeline), C(pgherd_lag) (bytes), C(pgherd_ready), C(pgherd_state), C(pgherd_node),
    C(pgherd_address), C(pgherd_streaming_from) and C(pgherd_pending_restart).
  - A task for a member runs in its pod (connection P(kubernetes.core.kubectl#connection)), one for a cluster on the
    controller.
requirements:
  - python >= 3.11
  - kubernetes >= 24.2.0
  - PyYAML >= 3.11
"""

EXAMPLES = r"""
# demo.pgherd.yml
plugin: pgherd.postgres.clusters
namespaces: [databases]

# groups by what is true now
---
plugin: pgherd.postgres.clusters
namespaces: [databases, warehouse]
groups:
  lagging: pgherd_lag | default(0, true) > 16777216
keyed_groups:
  - key: pgherd_node
    prefix: node
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: /tmp/pgherd-inventory
cache_timeout: 10
"""

import sys
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC

from ..module_utils.client import ApiError, Unreachable, connect
from ..module_utils.discovery import Forbidden, Found, discover
from ..module_utils.names import LOCK_KINDS

FILES = ("pgherd.yml", "pgherd.yaml")


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    NAME = "pgherd.postgres.clusters"

    # Options as a module's, for the connection that the modules use.
    params: Mapping[str, Any]

    def verify_file(self, path: str) -> bool:
        return bool(super().verify_file(path)) and path.endswith(FILES)

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        key, cached = self.get_cache_key(path), None
        wanted = bool(cache and self.get_option("cache"))
        if wanted:
            cached = self._cache.get(key)
        hosts = cached or list(hosts_of(self._found(), self._qualified(), str(self.get_option("label_prefix"))))
        if self.get_option("cache"):
            self._cache[key] = hosts
        for host in hosts:
            self._add(host)

    def _qualified(self) -> bool:
        return len(self.get_option("namespaces")) != 1

    def _found(self) -> list[Found]:
        self.params = {name: self.get_option(name) for name in AUTH_ARG_SPEC}
        try:
            return discover(connect(self), self.get_option("namespaces"), str(self.get_option("label_prefix")))
        except (ApiError, Unreachable, Forbidden) as error:
            raise AnsibleParserError(f"inventory plugin {self.NAME}: {error}") from None

    def fail_json(self, msg: str, **_others: Any) -> NoReturn:
        """How the connection says what is wrong."""
        raise AnsibleParserError(f"inventory plugin {self.NAME}: {msg}")

    def _add(self, host: Mapping[str, Any]) -> None:
        name, variables, strict = host["name"], dict(host["variables"]), self.get_option("strict")
        if variables["ansible_connection"] == "ansible.builtin.local":
            variables["ansible_python_interpreter"] = sys.executable
        self.inventory.add_host(name)
        for group in host["groups"]:
            sanitized = self._sanitize_group_name(group)
            self.inventory.add_group(sanitized)
            self.inventory.add_child(sanitized, name)
        for key, value in variables.items():
            self.inventory.set_variable(name, key, value)
        self._set_composite_vars(self.get_option("compose"), variables, name, strict=strict)
        self._add_host_to_composed_groups(self.get_option("groups"), variables, name, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, name, strict=strict)


def hosts_of(clusters: list[Found], qualified: bool, prefix: str) -> Iterator[dict[str, Any]]:
    """Name, groups and variables of every host: plain values, which a cache can keep."""
    locks = {kind: mode for mode, kind in LOCK_KINDS.items()}
    for cluster in clusters:
        tail = f".{cluster.namespace}" if qualified else ""
        yield {
            "name": f"{cluster.name}{tail}",
            "groups": ["postgres_clusters"],
            "variables": {
                "ansible_connection": "ansible.builtin.local",
                "postgres_cluster_name": cluster.name,
                "postgres_namespace": cluster.namespace,
                "postgres_label_prefix": prefix,
                "postgres_lock": locks.get(cluster.lease.kind, "endpoints"),
                "pgherd_leader": cluster.lease.leader,
                "pgherd_timeline": cluster.lease.timeline,
                "pgherd_epoch": cluster.lease.epoch,
                "pgherd_paused": cluster.lease.paused,
                "pgherd_members": [each["name"] for each in cluster.members],
            },
        }
        for member in cluster.members:
            yield _member(cluster, member, tail)


def _member(cluster: Found, member: Mapping[str, Any], tail: str) -> dict[str, Any]:
    return {
        "name": f"{member['name']}{tail}",
        "groups": ["postgres_members", f"cluster_{cluster.name}", f"role_{member['role'] or 'none'}"],
        "variables": {
            "ansible_connection": "kubernetes.core.kubectl",
            "ansible_kubectl_namespace": cluster.namespace,
            "ansible_kubectl_pod": member["name"],
            "ansible_kubectl_container": "database",
            "pgherd_cluster": cluster.name,
            "pgherd_namespace": cluster.namespace,
            "pgherd_pod": member["name"],
            "pgherd_role": member["role"],
            "pgherd_leads": member["leader"],
            **{
                f"pgherd_{key}": member[key]
                for key in ("address", "candidate", "lag", "node", "pending_restart", "ready", "state",
                            "streaming_from", "timeline")
            },
        },
    }  # fmt: skip
