"""Everything over one real API server."""

from __future__ import annotations

from collections.abc import Callable

from pgherd.kubernetes.client import connect
from pgherd.kubernetes.endpoints import EndpointsConfig, EndpointsLock
from pgherd.kubernetes.follow import Report
from pgherd.kubernetes.pods import ClusterPods, Secrets
from pgherd.kubernetes.requests import ConfigMapRequests
from pgherd.kubernetes.store import Stores
from pgherd.model.settings import Settings


def open_stores(
    settings: Settings, namespace: str, lock_silence: Callable[[], float], report: Callable[[], Report]
) -> Stores:
    """Two clients: one for reads and watches, one for the lease's writes and the reads that resolve them.

    `report` makes a reporter for each object that is followed: what they say differs, and is said once.
    """
    reads = connect(settings.kubernetes, namespace)
    writes = connect(settings.kubernetes, namespace)
    return Stores(
        lock=EndpointsLock(reads, writes, settings.lock, settings.postgres.port, lock_silence, report()),
        config=EndpointsConfig(reads, settings.config, report()),
        pods=ClusterPods(reads, settings.cluster, settings.label_prefix, report()),
        secrets=Secrets(reads),
        requests=ConfigMapRequests(reads, settings.requests, report()),
    )
