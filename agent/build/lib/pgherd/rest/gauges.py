"""What the agent knows of itself and the cluster, as families: each row says what it is and how it is read.

Pure; no I/O. A value of None is not known, or does not apply, and is left out.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from pgherd.model.access import Report
from pgherd.model.lease import Lease
from pgherd.model.member import MemberStatus, Peer
from pgherd.model.metrics import Family, Kind, Sample
from pgherd.model.settings import Configuration
from pgherd.rest.health import lag, streams_from_holder, synchronous_role
from pgherd.rest.source import StatusSource

CHANGES = ("switchover", "failover", "in_place")
"""What a change of the leader can have been: runtime/receipts counts them."""


RUNNING = ("primary", "standby_leader", "replica")


class Now(msgspec.Struct, frozen=True):
    """What was known at one instant."""

    status: MemberStatus
    lease: Lease | None
    configuration: Configuration
    members: int
    lease_age: float | None
    decided_ago: float
    peers: tuple[Peer, ...]
    last: Mapping[str, Any] | None
    """The newest receipt; empty before the first change of the leader, None while the history was not read."""
    access: Report | None = None
    """What became of declared users and databases, where they are kept."""

    @classmethod
    def of(cls, source: StatusSource) -> Now:
        history = source.history()
        last = history[-1] if history and isinstance(history[-1], dict) else {} if source.history_known else None
        return cls(
            source.member(), source.lease(), source.configuration, source.members, source.lease_age(),
            source.decided_ago(), tuple(source.peers()), last, source.access(),
        )  # fmt: skip

    @property
    def replica_lag(self) -> int | None:
        return lag(self.status, self.lease) if self.status.role == "replica" else None

    @property
    def replica_replay_lag(self) -> int | None:
        return lag(self.status, self.lease, applied=True) if self.status.role == "replica" else None


Read = Callable[[Now], float | None]


def _row(name: str, text: str, read: Read, kind: Kind = "gauge") -> tuple[Family, Read]:
    return Family(f"pgherd_{name}", kind, text), read


def _instant(receipt: Mapping[str, Any] | None, name: str) -> float | None:
    if receipt is None:
        return None
    try:
        return datetime.datetime.fromisoformat(receipt[name]).timestamp()
    except (KeyError, TypeError, ValueError):
        return None


def _downtime(receipt: Mapping[str, Any] | None) -> float | None:
    detected, writable = _instant(receipt, "detected"), _instant(receipt, "first_write")
    return None if detected is None or writable is None else max(0.0, writable - detected)


def _candidate(now: Now) -> bool:
    named = now.lease.candidates if now.lease is not None else ()
    return any((each.member, each.incarnation) == (now.status.member, now.status.incarnation) for each in named)


ROWS: tuple[tuple[Family, Read], ...] = (
    _row("up", "The agent answers.", lambda now: 1),
    _row("members_declared", "Members that the inventory declares.", lambda now: now.members),
    _row(
        "postgres_running", "PostgreSQL accepts connections.", lambda now: now.status.role in RUNNING
    ),
    _row("primary", "PostgreSQL accepts writes.", lambda now: now.status.role == "primary"),
    _row(
        "standby_leader",
        "Holds the lease of a standby cluster and follows the remote primary.",
        lambda now: now.status.role == "standby_leader",
    ),
    _row("replica", "PostgreSQL runs as a standby.", lambda now: now.status.role == "replica"),
    _row(
        "streaming", "Streams from the holder of the lease on its timeline.",
        lambda now: streams_from_holder(now.status, now.lease),
    ),
    _row(
        "sync_standby", "The lease says that it has every acknowledged commit.",
        lambda now: synchronous_role(now.status, now.lease) == "sync_standby",
    ),
    _row(
        "quorum_standby", "The lease says that it is one of those of which enough have.",
        lambda now: synchronous_role(now.status, now.lease) == "quorum_standby",
    ),
    _row(
        "synchronous_standbys_wanted", "synchronous_node_count; 0 while replication is asynchronous.",
        lambda now: now.configuration.synchronous_node_count if now.configuration.synchronous else 0,
    ),
    _row(
        "synchronous_standbys", "Members, the primary aside, that the lease says have every acknowledged commit.",
        lambda now: len(now.lease.sync.members) if now.lease is not None and now.lease.sync is not None else 0,
    ),
    _row("candidate", "The lease names this member's data as a candidate for the next leader.", _candidate),
    _row(
        "candidates", "Candidates that the lease names.",
        lambda now: len(now.lease.candidates) if now.lease is not None else None,
    ),
    _row("postgres_server_version", "server_version_num, 0 when unknown.", lambda now: now.status.server_version),
    _row("terminating", "The agent was told to stop.", lambda now: now.status.terminating),
    _row(
        "pending_restart", "Parameters wait for a restart of PostgreSQL.", lambda now: bool(now.status.pending_restart)
    ),
    _row(
        "configuration_refused", "The configuration is not in force here; GET /member says why.",
        lambda now: bool(now.status.refused),
    ),
    _row("decision_age_seconds", "Seconds since the agent's last decision.", lambda now: now.decided_ago),
    _row("lease_known", "The lock object could be read.", lambda now: now.lease is not None),
    _row("lease_epoch", "The largest epoch seen: it grows with every change of the holder.",
         lambda now: now.status.epoch_seen),
    _row("lease_held", "This member holds the lease by its own clock.", lambda now: now.status.holds_until > 0),
    _row(
        "lease_remaining_seconds", "Seconds for which its own lease is valid, 0 without one.",
        lambda now: now.status.holds_until,
    ),
    _row("lease_ttl_seconds", "ttl of the record.", lambda now: now.lease.ttl if now.lease is not None else None),
    _row(
        "lease_age_seconds",
        "Seconds since the newest record was sent (its holder) or first seen (the others): about loop_wait at "
        "most while the leader renews.",
        lambda now: now.lease_age,
    ),
    _row("failsafe", "It holds the lease by promises: the API does not confirm renewals.",
         lambda now: now.status.failsafe),
    _row(
        "promised_remaining_seconds", "Seconds for which it has promised not to take the lease.",
        lambda now: now.status.promised_until,
    ),
    _row("paused", "The holder has recorded a pause.", lambda now: now.lease.pause if now.lease is not None else None),
    _row(
        "timeline", "Timeline of the newest WAL: one more than the promotions in its history.",
        lambda now: now.status.position.timeline if now.status.position is not None else None,
    ),
    _row(
        "wal_position_bytes", "Newest WAL written or received.",
        lambda now: now.status.position.lsn if now.status.position is not None else None,
    ),
    _row(
        "wal_replayed_bytes", "Newest WAL replayed.",
        lambda now: now.status.replayed if now.status.position is not None else None,
    ),
    _row(
        "lag_bytes", "Replica: WAL not received, against the position that the holder last published.",
        lambda now: now.replica_lag,
    ),
    _row("replay_lag_bytes", "Replica: WAL not replayed, against the same.", lambda now: now.replica_replay_lag),
    _row(
        "last_leader_change_timestamp_seconds", "When the newest change of the leader was complete, as Unix time.",
        lambda now: _instant(now.last, "first_write"),
    ),
    _row(
        "last_leader_change_duration_seconds", "From its detection until the new primary was published.",
        lambda now: _downtime(now.last),
    ),
    _row(
        "last_leader_change_at_risk_bytes", "WAL of the former primary that the new one may lack.",
        lambda now: now.last.get("at_risk_bytes", 0) if now.last else None,
    ),
    _row(
        "users_wrong", "Declared users and databases that are not as declared; pgherd users says why.",
        lambda now: len(now.access.wrong) + bool(now.access.trouble) if now.access is not None else None,
    ),
    _row(
        "users_repaired", "Changes of users and databases by hand that were put back.",
        lambda now: now.access.repaired if now.access is not None else None,
    ),
)  # fmt: skip

INFO = Family("pgherd_info", "gauge", "The agent.", ("version",))
STATE = Family("pgherd_member_state", "gauge", "1 for what PostgreSQL, or the action on it, is just now.", ("state",))
REASON = Family("pgherd_decision_reason", "gauge", "1 for why the last decision is what it is.", ("code",))
PEER = Family("pgherd_peer_answers", "gauge", "That member answered when it was asked last.", ("peer",))
LEADER_CHANGES = Family(
    "pgherd_leader_changes_total",
    "counter",
    "Changes of the leader in the cluster's life, by the history; in_place: the same member again after it had failed.",
    ("kind",),
)
SLOT_POSITION = Family(
    "pgherd_slot_position_bytes", "gauge", "Up to where WAL is no longer held.", ("slot", "type")
)  # fmt: skip
SLOT_KEPT = Family("pgherd_slot_kept", "gauge", "The slot is as it should be; else its state says what is wrong.",
                   ("slot", "type", "state"))  # fmt: skip

CERTIFICATE_EXPIRY = Family(
    "pgherd_certificate_expiry_timestamp_seconds", "gauge", "When the certificate in use expires.", ("kind",)
)
CERTIFICATE_CURRENT = Family(
    "pgherd_certificate_current", "gauge", "What is mounted is in use; else GET /member says why not.", ("kind",)
)

FAMILIES: tuple[Family, ...] = (
    *(family for family, _ in ROWS), INFO, STATE, REASON, PEER, LEADER_CHANGES, SLOT_POSITION, SLOT_KEPT,
    CERTIFICATE_EXPIRY, CERTIFICATE_CURRENT,
)  # fmt: skip


def samples(now: Now) -> Iterator[Sample]:
    """Everything that the agent has in memory."""
    for family, read in ROWS:
        value = read(now)
        if value is not None:
            yield Sample(family, float(value))
    yield Sample(INFO, 1.0, (now.status.version,))
    yield Sample(STATE, 1.0, (now.status.state,))
    yield Sample(REASON, 1.0, (now.status.code,))
    for peer in now.peers:
        yield Sample(PEER, float(peer.status is not None), (peer.pod.member,))
    if now.last is not None:
        counted = now.last.get("changes")
        for kind in CHANGES:
            yield Sample(LEADER_CHANGES, float(counted.get(kind, 0)) if isinstance(counted, dict) else 0.0, (kind,))
    for name, slot in sorted(now.status.slots.items()):
        yield Sample(SLOT_POSITION, float(slot.position), (name, slot.kind))
        yield Sample(SLOT_KEPT, float(slot.state == "kept"), (name, slot.kind, slot.state))
    for kind, certificate in sorted(now.status.certificates.items()):
        if certificate.expires is not None:
            yield Sample(CERTIFICATE_EXPIRY, float(certificate.expires), (kind,))
        yield Sample(CERTIFICATE_CURRENT, float(not certificate.refused), (kind,))
