"""Bodies in Patroni's shape, for the people and tools that know it (`/patroni`, `/cluster`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pgherd.model.lease import Lease
from pgherd.model.member import MemberStatus, Peer
from pgherd.rest.health import lag, leading_role, streams_from_holder, synchronous_role


def patroni(cluster: str, status: MemberStatus, lease: Lease | None) -> dict[str, Any]:
    """One member. Positions are bytes."""
    return {
        "state": status.state,
        "role": status.role,
        "server_version": status.server_version,
        "timeline": status.position.timeline if status.position else None,
        "xlog": _positions(status),
        "replication_state": _replication_state(status),
        "sync_standby": synchronous_role(status, lease) == "sync_standby",
        "quorum_standby": synchronous_role(status, lease) == "quorum_standby",
        "database_system_identifier": status.system_identifier,
        "cluster_unlocked": lease is None or lease.leader is None or lease.free,
        "pause": bool(lease and lease.pause),
        "failsafe_mode_is_active": status.failsafe,
        "tags": status.tags,
        **_pending(status),
        "pgherd": {
            "version": status.version,
            "scope": cluster,
            "name": status.member,
            "epoch": status.epoch_seen,
            "lease_seconds_left": round(status.holds_until, 3),
            "reason": status.reason,
            "code": status.code,
            "configuration_refused": status.refused,
        },
    }


def _pending(status: MemberStatus) -> dict[str, Any]:
    """As Patroni shows it: nothing while no parameter waits."""
    if not status.pending_restart:
        return {}
    return {"pending_restart": True, "pending_restart_reason": status.pending_restart}


def _positions(status: MemberStatus) -> dict[str, int]:
    if status.position is None:
        return {}
    if status.role == "primary":
        return {"location": status.position.lsn}
    return {"received_location": status.position.lsn, "replayed_location": status.replayed}


def _replication_state(status: MemberStatus) -> str | None:
    return "streaming" if status.streaming_from else None


def cluster(
    name: str, own: MemberStatus, own_address: str, peers: Sequence[Peer], lease: Lease | None, port: int
) -> dict[str, Any]:
    """Every member as this one knows them; who did not answer has state "no answer"."""
    members = [_member(own, own_address, lease, port)]
    for peer in peers:
        if peer.status is not None:
            members.append(_member(peer.status, peer.pod.address or "", lease, port))
        else:
            members.append({"name": peer.pod.member, "role": "unknown", "state": "no answer", "host": peer.pod.address})
    return {
        "members": sorted(members, key=lambda member: str(member["name"])),
        "scope": name,
        "pause": bool(lease and lease.pause),
        "epoch": lease.epoch if lease else None,
    }


def _member(status: MemberStatus, address: str, lease: Lease | None, port: int) -> dict[str, Any]:
    leads = lease is not None and lease.leader == status.member and not lease.free
    found: dict[str, Any] = {
        "name": status.member,
        "role": leading_role(status, lease) if leads else synchronous_role(status, lease),
        "state": "streaming" if not leads and streams_from_holder(status, lease) else status.state,
        "host": address,
        "port": port,
        "timeline": status.position.timeline if status.position else None,
        "tags": status.tags,
        **_pending(status),
    }
    if not leads:
        found["lag"] = lag(status, lease)
        found["replay_lag"] = lag(status, lease, applied=True)
    return found
