# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From an inventory's variables to one cluster, or to everything that is wrong with them.

Pure: no API, no clock. Whatever comes out of `declare` can be rendered; what cannot work is refused here, with the
variable's name, what was given and what is allowed, before anything is changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .certificate_settings import DEFAULTS as CERTIFICATE_DEFAULTS
from .certificate_settings import certificates
from .checks import Problems, unknown
from .client_services import client_services
from .declared_users import access
from .dynamic_configuration import dynamic_configuration
from .identity import identity
from .instance_sets import instance_sets
from .manifest import located, with_manifest
from .methods import bootstrap
from .monitoring import monitoring
from .network import network
from .operations import INPUTS
from .patches import patches
from .pod import pod
from .pooler import pooler
from .rollout_declared import DEFAULTS as ROLLOUT_DEFAULTS
from .rollout_declared import rollout

DEFAULTS: Mapping[str, Any] = {
    **CERTIFICATE_DEFAULTS,
    "postgres_allow_data_loss_reclone": True,
    "postgres_annotations": {},
    "postgres_before_stop": "",
    "postgres_bootstrap_method": {},
    "postgres_callbacks": {},
    "postgres_clone_methods": [],
    "postgres_cluster_domain": "cluster.local",
    "postgres_cluster_manifest": "",
    "postgres_config_files": [],
    "postgres_configuration_conflict": "fail",
    "postgres_create_user_schema": True,
    "postgres_databases": [],
    "postgres_default_scheduling": True,
    "postgres_early_takeover_delay": 3,
    "postgres_failsafe_mode": True,
    "postgres_hook_timeout": 60,
    "postgres_ignore_slots": [],
    "postgres_image": "",
    "postgres_image_pull_policy": "IfNotPresent",
    "postgres_image_pull_secrets": [],
    "postgres_instances": [{"name": "instance1", "replicas": 1, "storage": "1Gi"}],
    "postgres_label_prefix": "",
    "postgres_labels": {},
    "postgres_lock": "endpoints",
    "postgres_loop_wait": 3,
    "postgres_manifest_ignore": [],
    "postgres_maximum_lag_on_failover": 1048576,
    "postgres_maximum_lag_on_syncnode": -1,
    "postgres_member_slots_ttl": 1800,
    "postgres_monitoring": {},
    "postgres_network_policy": True,
    "postgres_network_policy_clients": [],
    "postgres_network_policy_monitoring": [],
    "postgres_parameters": {},
    "postgres_patches": [],
    "postgres_pg_hba": [],
    "postgres_pg_ident": [],
    "postgres_pooler": {},
    "postgres_port": 5432,
    "postgres_pre_promote": "",
    "postgres_primary_start_timeout": 300,
    "postgres_primary_stop_timeout": 60,
    "postgres_replica_service_annotations": {},
    "postgres_replica_service_external_traffic_policy": "",
    "postgres_replica_service_internal_traffic_policy": "",
    "postgres_replica_service_ip_families": [],
    "postgres_replica_service_ip_family_policy": "",
    "postgres_replica_service_labels": {},
    "postgres_replica_service_node_port": None,
    "postgres_replica_service_type": "ClusterIP",
    "postgres_resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
    "postgres_rest_port": 8008,
    "postgres_retry_timeout": 3,
    "postgres_service_annotations": {},
    "postgres_service_external_traffic_policy": "",
    "postgres_service_internal_traffic_policy": "",
    "postgres_service_ip_families": [],
    "postgres_service_ip_family_policy": "",
    "postgres_service_labels": {},
    "postgres_service_node_port": None,
    "postgres_service_type": "ClusterIP",
    "postgres_shared_memory_size": "256Mi",
    "postgres_slots": {},
    "postgres_standby": {},
    "postgres_storage_class": "",
    "postgres_supplemental_groups": [],
    "postgres_synchronous_mode": False,
    "postgres_synchronous_mode_strict": False,
    "postgres_synchronous_node_count": 1,
    "postgres_temporary_size": "64Mi",
    "postgres_ttl": 10,
    "postgres_use_pg_rewind": True,
    "postgres_use_slots": True,
    "postgres_version": 17,
    "postgres_wait": True,
    "postgres_wait_timeout": 300,
    **ROLLOUT_DEFAULTS,
}
# Without a default here: required, taken from the host, absent on purpose, or read by one playbook only.
WITHOUT_DEFAULT = (
    "postgres_cluster_name",
    "postgres_context",
    "postgres_destroy",
    "postgres_kubeconfig",
    "postgres_namespace",
    "postgres_purge",
    "postgres_users",
)
KNOWN = tuple(sorted([*DEFAULTS, *WITHOUT_DEFAULT, *INPUTS]))


class Invalid(ValueError):
    """Everything that is wrong with a declaration, one problem a line."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def declare(variables: Mapping[str, Any], host: str, image_needed: bool = True) -> dict[str, Any]:
    """One cluster from the variables of inventory host `host`. Raises Invalid.

    Without `image_needed` nobody is going to start pods: whoever looks or deletes need not know the image.
    """
    given = {name: value for name, value in variables.items() if name.startswith("postgres_")}
    problems = Problems()
    problems.texts += unknown(given, KNOWN, "postgres_")
    given, origins = with_manifest(given, DEFAULTS, host, problems)
    values = {**DEFAULTS, "postgres_cluster_name": host, **given}
    cluster = identity(values, problems)
    cluster.update(pod(values, image_needed, problems), services=client_services(values, cluster["prefix"], problems))
    cluster["sets"] = instance_sets(values, cluster, problems)
    cluster["members"] = [member for each in cluster["sets"] for member in each["members"]]
    cluster["pooler"] = pooler(values, cluster, problems)
    cluster.update(access(values, cluster, problems))
    cluster["configuration"] = dynamic_configuration(values, problems)
    cluster["bootstrap"] = bootstrap(values, problems)
    cluster["monitoring"] = monitoring(values["postgres_monitoring"], cluster["rest_port"], problems)
    cluster["conflict"] = problems.choice(
        "postgres_configuration_conflict",
        values["postgres_configuration_conflict"],
        ("fail", "inventory", "cluster"),
    )
    cluster["network"] = network(values, problems)
    cluster["patches"] = patches(values["postgres_patches"], cluster, problems)
    cluster["wait"] = problems.boolean("postgres_wait", values["postgres_wait"])
    cluster["wait_timeout"] = problems.integer("postgres_wait_timeout", values["postgres_wait_timeout"], 1, 86400)
    cluster.update(certificates(values, cluster, problems))
    cluster.update(rollout(values, problems), tags_by_pod={each["pod"]: each["tags"] for each in cluster["members"]})
    cluster["node_ports"] = _node_ports(cluster, problems)
    if problems.texts:
        raise Invalid(located(problems.texts, origins))
    return cluster


def _node_ports(cluster: Mapping[str, Any], problems: Problems) -> dict[str, str]:
    """By port the Service that is to have it: one space for all of them."""
    services, pools = cluster["services"], (cluster["pooler"] or {"pools": ()})["pools"]
    asked = [
        ("postgres_service_node_port", services["primary"].get("node_port"), f"{cluster['name']}-ha"),
        ("postgres_replica_service_node_port", services["replica"].get("node_port"), f"{cluster['name']}-replicas"),
        *(("postgres_pooler.node_port", each["node_port"], each["name"]) for each in pools),
    ]
    found = dict[str, tuple[str, str]]()
    for variable, port, service in asked:
        if port and str(port) in found:
            problems.add(variable, port, f"is also {found[str(port)][1]}")
        elif port:
            found[str(port)] = service, variable
    return {port: service for port, (service, _variable) in found.items()}
