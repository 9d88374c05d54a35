"""Patroni's own metrics, by the names, labels and meaning of its 4.1, so that its dashboards and alerts carry over.

Left out is what has no counterpart here (patroni_xlog_paused's neighbours of Citus, members of its failsafe).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping

from pgherd.model.metrics import Family, Kind, Sample
from pgherd.rest.gauges import Now
from pgherd.rest.health import streams_from_holder, synchronous_role

LABELS = ("scope", "name")


def _family(name: str, text: str, kind: Kind = "gauge") -> Family:
    return Family(f"patroni_{name}", kind, text, LABELS)


RUNNING = _family("postgres_running", "1 if PostgreSQL is running.")
STARTED = _family("postmaster_start_time", "When the postmaster started, as Unix time.")
PRIMARY = _family("primary", "1 if it is the leader's primary.")
REPLICA = _family("replica", "1 if it is a replica.")
SYNC = _family("sync_standby", "1 if it is a synchronous standby.")
QUORUM = _family("quorum_standby", "1 if it is a quorum standby.")
WRITTEN = _family("xlog_location", "Primary: position written, in bytes.")
RECEIVED = _family("xlog_received_location", "Replica: position received, in bytes.")
REPLAYED = _family("xlog_replayed_location", "Replica: position replayed, in bytes.")
REPLAYED_AT = _family("xlog_replayed_timestamp", "Replica: commit time of the last transaction replayed.")
REPLAY_PAUSED = _family("xlog_paused", "Replica: 1 if replay is paused.")
STREAMING = _family("postgres_streaming", "1 if it streams.")
VERSION = _family("postgres_server_version", "server_version_num.")
UNLOCKED = _family("cluster_unlocked", "1 if nobody holds the lock.")
FAILSAFE = _family("failsafe_mode_is_active", "1 if it holds the lock by promises.")
TIMELINE = _family("postgres_timeline", "Timeline.")
SEEN = _family("dcs_last_seen", "When a new record of the lock was last seen, as Unix time.")
PENDING = _family("pending_restart", "1 if a restart is pending.")
PAUSED = _family("is_paused", "1 if the cluster is paused.")

FAMILIES: tuple[Family, ...] = (
    RUNNING, STARTED, PRIMARY, REPLICA, SYNC, QUORUM, WRITTEN, RECEIVED, REPLAYED, REPLAYED_AT, REPLAY_PAUSED,
    STREAMING, VERSION, UNLOCKED, FAILSAFE, TIMELINE, SEEN, PENDING, PAUSED,
)  # fmt: skip

FROM_POSTGRES: Mapping[str, Family] = {
    "pgherd_postgres_start_time_seconds": STARTED,
    "pgherd_postgres_last_replayed_commit_timestamp_seconds": REPLAYED_AT,
    "pgherd_postgres_replay_paused": REPLAY_PAUSED,
}


def samples(cluster: str, now: Now, found: Iterable[Sample]) -> Iterator[Sample]:
    """From the same values; `found` are PostgreSQL's."""
    labels = (cluster, now.status.member)
    for family, value in _values(now):
        yield Sample(family, float(value), labels)
    for sample in found:
        if sample.family.name in FROM_POSTGRES:
            yield Sample(FROM_POSTGRES[sample.family.name], sample.value, labels)


def _values(now: Now) -> Iterator[tuple[Family, float]]:
    status, lease = now.status, now.lease
    primary, replica = status.role == "primary", status.role == "replica"
    yield RUNNING, primary or replica
    yield PRIMARY, primary and status.holds_until > 0
    yield REPLICA, replica
    yield SYNC, synchronous_role(status, lease) == "sync_standby"
    yield QUORUM, synchronous_role(status, lease) == "quorum_standby"
    lsn = status.position.lsn if status.position else 0
    yield WRITTEN, lsn if primary else 0
    yield RECEIVED, lsn if replica else 0
    yield REPLAYED, status.replayed if replica else 0
    yield STREAMING, replica and streams_from_holder(status, lease)
    yield VERSION, status.server_version
    yield UNLOCKED, lease is None or lease.leader is None or lease.free
    yield FAILSAFE, status.failsafe
    yield TIMELINE, status.position.timeline if status.position else 0
    if now.lease_age is not None:
        yield SEEN, int(time.time() - now.lease_age)
    yield PENDING, bool(status.pending_restart)
    yield PAUSED, bool(lease and lease.pause)
