"""Everything over one real API server."""

from __future__ import annotations

from collections.abc import Callable

from lightkube.core.async_client import AsyncClient
from lightkube.resources.core_v1 import ConfigMap, Endpoints

from pgherd.kubernetes.annotated import AnnotatedConfig, AnnotatedLock
from pgherd.kubernetes.client import connect
from pgherd.kubernetes.endpoints import ENDPOINTS
from pgherd.kubernetes.endpointslice import ENDPOINT_SLICE
from pgherd.kubernetes.follow import Report
from pgherd.kubernetes.pods import ClusterPods
from pgherd.kubernetes.requests import ConfigMapRequests
from pgherd.kubernetes.route import SliceRoute
from pgherd.kubernetes.store import Stores
from pgherd.kubernetes.summary import ConfigMapSummary
from pgherd.kubernetes.users import ConfigMapUsers, NamedSecrets
from pgherd.model.settings import Identity, Settings

KINDS = {"endpoints": ENDPOINTS, "endpointslice": ENDPOINT_SLICE}
"""By `kubernetes.lock` (model.settings.LOCKS)."""


def open_config(mode: str, client: AsyncClient, name: str, report: Report) -> AnnotatedConfig:
    """A ConfigMap beside an EndpointSlice: annotations need no address, and no Service that keeps them."""
    if mode == "endpointslice":
        return AnnotatedConfig(client, ConfigMap, "configmap", name, report)
    return AnnotatedConfig(client, Endpoints, "endpoints", name, report)


def open_stores(
    settings: Settings, identity: Identity, lock_silence: Callable[[], float], report: Callable[[], Report]
) -> Stores:
    """Two clients: one for reads, watches and what has time, one for the writes of lease and route and the reads that
    resolve them.

    `report` makes a reporter for each object that is followed: what they say differs, and is said once.
    """
    reads = connect(settings.kubernetes, identity.namespace)
    writes = connect(settings.kubernetes, identity.namespace)
    mode, labels = settings.kubernetes.lock, {f"{settings.label_prefix}cluster": settings.cluster}
    port = settings.postgres.port
    return Stores(
        lock=AnnotatedLock(reads, writes, KINDS[mode], settings.lock, labels, port, lock_silence, report()),
        route=SliceRoute(reads, writes, settings.lock, labels, identity.address, port, report()),
        config=open_config(mode, reads, settings.config, report()),
        pods=ClusterPods(reads, settings.cluster, settings.label_prefix, report()),
        secrets=NamedSecrets(reads, report),
        requests=ConfigMapRequests(reads, settings.requests, report()),
        users=ConfigMapUsers(reads, settings.users, report()),
        summary=ConfigMapSummary(reads, settings.status),
    )
