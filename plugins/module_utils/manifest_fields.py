# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every field of PGO's PostgresCluster, and what becomes of it: the one table that is read, tested and documented.

A field with a `target` is taken over into that variable; one with a `reason` is refused, since nothing here does what
it asks for. A field that is not in the table is no field of PGO's at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .manifest_values import hba_lines, inverted, standby, user_annotations


@dataclass(frozen=True)
class Field:
    path: str
    """`[]` stands for the entries of a list."""
    target: str = ""
    reason: str = ""
    harmless: tuple[Any, ...] = ()
    """Values that ask for nothing, and need nothing done."""
    convert: Callable[[Any], Any] | None = None
    rank: int = 0
    """Several fields may add to one variable: higher ones come later and win."""


_SERVER = "the API server writes it"
_IMAGE = "is PGO's own image; name the agent's in postgres_image"
_BACKUPS = "this version makes no backups"
_POOLER = "the pooler is a container of the agent's image, with PgBouncer in it"
_POOLER_SERVICE = "the pooler's Services have a type, a node port, and the labels and annotations of its other objects"
_MONITORING = (
    "there is no exporter: the agents serve metrics at port `rest` over https; declare postgres_monitoring, "
    "and who may read them in postgres_network_policy_monitoring"
)
_QUERIES = f"{_MONITORING}; queries of your own need an exporter of yours, in postgres_instances[].sidecars"
_SOURCE = "this version cannot begin from a backup, another cluster or existing volumes"
_GROW = "volumes grow when their declared size grows, never by themselves"
_CLAIM = "claims are found by size and class only"
_PLAY = "the play and the agents do this; see docs/operations.md"


def _claim(path: str, target: str) -> Iterator[Field]:
    """The fields of a claim's spec."""
    yield Field(f"{path}.accessModes", f"{target}.access_modes")
    yield Field(f"{path}.resources.requests.storage", f"{target}.storage")
    yield Field(f"{path}.storageClassName", f"{target}.storage_class")
    yield Field(f"{path}.volumeMode", harmless=("Filesystem",), reason="PostgreSQL needs a file system")
    yield Field(f"{path}.resources.limits", reason=_GROW)
    yield Field(f"{path}.autoGrow", reason=_GROW)
    for name in ("selector", "volumeName", "dataSource", "dataSourceRef", "volumeAttributesClassName"):
        yield Field(f"{path}.{name}", reason=_CLAIM)


def _service(path: str, target: str) -> Iterator[Field]:
    yield Field(f"{path}.metadata.labels", f"{target}_labels")
    yield Field(f"{path}.metadata.annotations", f"{target}_annotations")
    yield Field(f"{path}.type", f"{target}_type")
    yield Field(f"{path}.nodePort", f"{target}_node_port")
    yield Field(f"{path}.ipFamilyPolicy", f"{target}_ip_family_policy")
    yield Field(f"{path}.ipFamilies", f"{target}_ip_families")
    yield Field(f"{path}.internalTrafficPolicy", f"{target}_internal_traffic_policy")
    yield Field(f"{path}.externalTrafficPolicy", f"{target}_external_traffic_policy")


def _scheduling(path: str, target: str) -> Iterator[Field]:
    """Where pods go."""
    yield Field(f"{path}.affinity", f"{target}.affinity")
    yield Field(f"{path}.tolerations", f"{target}.tolerations")
    yield Field(f"{path}.topologySpreadConstraints", f"{target}.topology_spread")
    yield Field(f"{path}.priorityClassName", f"{target}.priority_class")


def _instances() -> Iterator[Field]:
    here, there = "spec.instances[]", "postgres_instances[]"
    yield Field(f"{here}.metadata.labels", f"{there}.labels")
    yield Field(f"{here}.metadata.annotations", f"{there}.annotations")
    yield Field(f"{here}.name", f"{there}.name")
    yield Field(f"{here}.replicas", f"{there}.replicas")
    yield Field(f"{here}.minAvailable", f"{there}.min_available")
    yield from _claim(f"{here}.dataVolumeClaimSpec", there)
    yield from _claim(f"{here}.walVolumeClaimSpec", f"{there}.wal_volume")
    yield Field(f"{here}.tablespaceVolumes[].name", f"{there}.tablespaces[].name")
    yield from _claim(f"{here}.tablespaceVolumes[].dataVolumeClaimSpec", f"{there}.tablespaces[]")
    yield from _claim(f"{here}.volumes.temp", f"{there}.temporary_volume")
    yield Field(f"{here}.volumes.additional[].name", f"{there}.volumes[].name")
    yield Field(f"{here}.volumes.additional[].claimName", f"{there}.volumes[].claim")
    yield Field(f"{here}.volumes.additional[].image", f"{there}.volumes[].image")
    yield Field(f"{here}.volumes.additional[].containers", f"{there}.volumes[].containers")
    yield Field(f"{here}.volumes.additional[].readOnly", f"{there}.volumes[].read_only")
    yield Field(f"{here}.resources", f"{there}.resources")
    yield Field(f"{here}.sidecars.replicaCertCopy", reason="there is no such container: the agent reloads certificates")
    yield Field(f"{here}.containers", f"{there}.sidecars")
    yield from _scheduling(here, there)


def _patroni() -> Iterator[Field]:
    here = "spec.patroni"
    yield Field(f"{here}.leaderLeaseDurationSeconds", "postgres_ttl")
    yield Field(f"{here}.syncPeriodSeconds", "postgres_loop_wait")
    yield Field(f"{here}.port", "postgres_rest_port")
    yield Field(f"{here}.switchover.enabled", harmless=(False,), reason="ask for one with `pgherd switchover`")
    yield Field(f"{here}.switchover.targetInstance", reason="ask for one with `pgherd switchover --candidate`")
    yield Field(f"{here}.switchover.type", harmless=("Switchover",), reason="ask for one with `pgherd failover`")
    yield Field(f"{here}.logging", reason="the agent logs to the container's standard error, in JSON")
    dynamic = f"{here}.dynamicConfiguration"
    for name in ("ttl", "loop_wait"):
        other = "leaderLeaseDurationSeconds" if name == "ttl" else "syncPeriodSeconds"
        yield Field(f"{dynamic}.{name}", reason=f"PGO ignores it here; say it in {here}.{other}")
    for name in (
        "retry_timeout", "maximum_lag_on_failover", "maximum_lag_on_syncnode", "synchronous_mode",
        "synchronous_mode_strict", "synchronous_node_count", "primary_start_timeout", "primary_stop_timeout",
        "member_slots_ttl", "failsafe_mode", "slots", "ignore_slots",
    ):  # fmt: skip
        yield Field(f"{dynamic}.{name}", f"postgres_{name}")
    yield Field(f"{dynamic}.master_start_timeout", "postgres_primary_start_timeout")
    yield Field(f"{dynamic}.master_stop_timeout", "postgres_primary_stop_timeout")
    yield Field(f"{dynamic}.pause", harmless=(False,), reason="pause a cluster with `pgherd pause`")
    yield Field(f"{dynamic}.standby_cluster", "postgres_standby")
    yield Field(f"{dynamic}.check_timeline", harmless=(True, False), reason="must be true or false")
    yield Field(f"{dynamic}.postgresql.parameters", "postgres_parameters", rank=1)
    yield Field(f"{dynamic}.postgresql.pg_hba", "postgres_pg_hba", rank=2)
    yield Field(f"{dynamic}.postgresql.pg_ident", "postgres_pg_ident")
    yield Field(f"{dynamic}.postgresql.use_slots", "postgres_use_slots")
    yield Field(f"{dynamic}.postgresql.use_pg_rewind", "postgres_use_pg_rewind")


def _pooler() -> Iterator[Field]:
    here, there = "spec.proxy.pgBouncer", "postgres_pooler"
    yield Field(f"{here}.metadata.labels", f"{there}.labels")
    yield Field(f"{here}.metadata.annotations", f"{there}.annotations")
    yield Field(f"{here}.replicas", f"{there}.replicas")
    yield Field(f"{here}.minAvailable", f"{there}.min_available")
    yield Field(f"{here}.port", f"{there}.port")
    yield Field(f"{here}.config.global", f"{there}.parameters")
    yield Field(f"{here}.config.databases", f"{there}.databases")
    yield Field(f"{here}.config.users", reason="the pooler knows no settings by user; say them by database")
    yield Field(f"{here}.config.files", reason="the pooler mounts no files of yours")
    yield Field(f"{here}.resources", f"{there}.resources")
    yield from _scheduling(here, there)
    yield Field(f"{here}.service.type", f"{there}.service_type")
    yield Field(f"{here}.service.nodePort", f"{there}.node_port")
    for name in ("metadata", "ipFamilyPolicy", "ipFamilies", "internalTrafficPolicy", "externalTrafficPolicy"):
        yield Field(f"{here}.service.{name}", reason=_POOLER_SERVICE)
    yield Field(
        f"{here}.customTLSSecret", reason="its certificate is of the cluster's authority, and is renewed with it"
    )
    for name in ("image", "sidecars", "containers", "volumes"):
        yield Field(f"{here}.{name}", reason=_POOLER)


def _apart() -> Iterator[Field]:
    """What has no variable here, by subject."""
    yield Field("spec.backups", reason=_BACKUPS)
    yield Field("spec.monitoring.pgmonitor.exporter.configuration", reason=_QUERIES)
    for name in ("customTLSSecret", "image", "resources"):
        yield Field(f"spec.monitoring.pgmonitor.exporter.{name}", reason=_MONITORING)
    yield Field("spec.instrumentation", reason=_MONITORING)
    yield Field("spec.dataSource", reason=_SOURCE)
    yield Field("spec.standby", "postgres_standby", convert=standby, rank=1)
    yield Field(
        "spec.databaseInitSQL", reason="this version runs no SQL of yours; give the users what they need to do it"
    )
    yield Field("spec.postGISVersion", reason="this version chooses no image by its extensions")
    yield Field(
        "spec.openshift", harmless=(False,), reason="this version knows nothing of OpenShift's security contexts"
    )
    yield Field("spec.paused", harmless=(False,), reason=_PLAY)
    yield Field("spec.shutdown", "postgres_shutdown")
    yield Field("spec.userInterface", reason="there is no pgAdmin here")


def _fields() -> Iterator[Field]:
    yield Field("apiVersion", harmless=API_VERSIONS, reason=f"must be one of {', '.join(API_VERSIONS)}")
    yield Field("kind", harmless=("PostgresCluster",), reason="must be PostgresCluster")
    yield Field("status", target=READ_ONLY)
    yield Field("metadata.name", "postgres_cluster_name")
    yield Field("metadata.namespace", "postgres_namespace")
    yield Field("metadata.labels", "postgres_labels")
    yield Field("metadata.annotations", "postgres_annotations", convert=user_annotations)
    for name in (
        "creationTimestamp", "finalizers", "generation", "managedFields", "ownerReferences", "resourceVersion",
        "selfLink", "uid", "deletionTimestamp", "deletionGracePeriodSeconds",
    ):  # fmt: skip
        yield Field(f"metadata.{name}", target=READ_ONLY)
    yield Field("spec.postgresVersion", "postgres_version")
    yield Field("spec.image", "postgres_image")
    yield Field("spec.imagePullPolicy", "postgres_image_pull_policy")
    yield Field("spec.imagePullSecrets", "postgres_image_pull_secrets")
    yield Field("spec.port", "postgres_port")
    yield Field("spec.users[].name", "postgres_users[].name")
    yield Field("spec.users[].databases", "postgres_users[].databases")
    yield Field("spec.users[].options", "postgres_users[].options")
    yield Field("spec.users[].password.type", "postgres_users[].password.type")
    yield from _instances()
    yield from _patroni()
    yield Field("spec.config.files", "postgres_config_files")
    yield Field("spec.config.parameters", "postgres_parameters", rank=2)
    yield Field("spec.authentication.rules", "postgres_pg_hba", convert=hba_lines, rank=1)
    yield from _service("spec.service", "postgres_service")
    yield from _service("spec.replicaService", "postgres_replica_service")
    yield Field("spec.disableDefaultPodScheduling", "postgres_default_scheduling", convert=inverted)
    yield Field("spec.supplementalGroups", "postgres_supplemental_groups")
    yield Field("spec.customTLSSecret", "postgres_custom_tls_secret")
    yield Field("spec.customReplicationTLSSecret", "postgres_custom_replication_tls_secret")
    yield from _pooler()
    yield from _apart()


API_VERSIONS = ("postgres-operator.crunchydata.com/v1beta1", "postgres-operator.crunchydata.com/v1")
READ_ONLY = "-"
"""Target of what the API server or the operator writes: it declares nothing."""
FIELDS: Mapping[str, Field] = {field.path: field for field in _fields()}


def children() -> dict[str, list[str]]:
    """Fields below each path that is no field itself; a list has the one child `[]`."""
    found: dict[str, list[str]] = {}
    for path in FIELDS:
        parts = path.replace("[]", ".[]").split(".")
        for depth, name in enumerate(parts):
            parent = ".".join(parts[:depth]).replace(".[]", "[]")
            if name not in found.setdefault(parent, []):
                found[parent].append(name)
    return found


CHILDREN: Mapping[str, list[str]] = children()
