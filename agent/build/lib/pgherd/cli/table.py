"""From an observation to the rows of `pgherd list`. Pure."""

from __future__ import annotations

import time
from collections.abc import Mapping

import msgspec

from pgherd.cli.observe import Observation
from pgherd.kubernetes.store import PodSeen
from pgherd.model.lease import Lease
from pgherd.model.member import MemberStatus
from pgherd.model.parameters import Change
from pgherd.model.request import Request, Verb
from pgherd.model.settings import InvalidSetting, read_configuration
from pgherd.model.slots import slot_name
from pgherd.rest.health import leading_role, streams_from_holder, synchronous_role

MEMBERS = (Verb.RESTART, Verb.RELOAD, Verb.REINITIALIZE)
SOON = 14 * 86400
"""Seconds before a certificate's end from which on a person should see it: by then it should long have been renewed."""
LEADERS = ("leader", "standby_leader")
SHOWN = ("lost", "unready", "refused")
"""States of slots that a person should see."""


class Row(msgspec.Struct, frozen=True):
    """One member. `lag` is bytes that it lacks of the leader's WAL, `replay_lag` bytes that it has not replayed."""

    member: str
    role: str
    """leader (holds the lease), standby_leader (holds that of a standby cluster), replica, sync_standby (a replica that
    has every acknowledged commit), quorum_standby (one of those of which enough have), or primary (accepts writes
    without the lease: must never last)."""
    state: str
    """streaming only while it streams from the leader on its timeline (S8); else what the member says, or
    "no answer", "not asked", "no pod"."""
    host: str | None = None
    node: str | None = None
    timeline: int | None = None
    lag: int | None = None
    replay_lag: int | None = None
    candidate: bool = False
    """The lock names it as one that may take the lease when the leader is lost."""
    version: str | None = None
    tags: Mapping[str, str] = {}
    notes: tuple[str, ...] = ()
    pending_restart: dict[str, Change] = {}
    """Parameters that wait for a restart: what runs, what is configured."""

    @property
    def leads(self) -> bool:
        return self.role in LEADERS


class Table(msgspec.Struct, frozen=True):
    cluster: str
    namespace: str
    system_identifier: str | None
    initialize: str | None
    leader: str | None
    epoch: int | None
    paused: bool
    trouble: str
    members: tuple[Row, ...]
    requests: tuple[str, ...] = ()
    """What people asked for and is not finished, a line each."""
    pause_wanted: bool | None = None
    """What the configuration says; it holds, and ends, when the leader has recorded it (`paused`)."""


def leader(lease: Lease | None) -> str | None:
    """Who holds the lease as far as the lock says; nobody when it is free."""
    return None if lease is None or lease.free else lease.leader


def table(seen: Observation) -> Table:
    lease, initialize = seen.lock.record, seen.config.initialize
    pods = {found.pod.member: found for found in seen.pods}
    names = sorted({*seen.target.members, *pods})
    return Table(
        cluster=seen.target.cluster,
        namespace=seen.namespace,
        system_identifier=initialize if initialize and initialize.isdigit() else None,
        initialize=initialize,
        leader=leader(lease),
        epoch=lease.epoch if lease else None,
        paused=bool(lease and lease.pause),
        trouble=seen.lock.trouble,
        members=tuple(_row(seen, name, pods.get(name)) for name in names),
        requests=tuple(_asked(request) for request in seen.requests),
        pause_wanted=pause_wanted(seen),
    )


def pause_wanted(seen: Observation) -> bool | None:
    """None when there is no configuration, or none that can be read."""
    if not seen.config.config:
        return None
    try:
        return read_configuration(seen.config.config).pause
    except InvalidSetting:
        return None


def _asked(request: Request) -> str:
    what = request.verb.value.capitalize() + (f" of {request.member}" if request.verb in MEMBERS else "")
    to = f" to {request.member}" if request.member and request.verb not in MEMBERS else ""
    at = f" not before {request.not_before}" if request.not_before else ""
    return f"{what}{to}{at}: {request.state.value} ({request.id})"


def _row(seen: Observation, name: str, found: PodSeen | None) -> Row:
    lease, status = seen.lock.record, seen.answers.get(name)
    leads = leader(lease) == name
    role = _role(lease, name, status)
    behind, replay = (None, None) if role in (*LEADERS, "primary") else _lag(seen, name, status)
    return Row(
        member=name,
        role=role,
        state=_state(seen, name, found, status),
        host=found.pod.address if found else None,
        node=found.pod.node or None if found else None,
        timeline=_timeline(lease, leads, status),
        lag=behind,
        replay_lag=replay,
        candidate=_candidate(lease, name, status),
        version=status.version or None if status else None,
        tags=status.tags if status else {},
        notes=tuple(_notes(seen, name, found, status, role)),
        pending_restart=dict(status.pending_restart) if status else {},
    )


def _role(lease: Lease | None, name: str, status: MemberStatus | None) -> str:
    if leader(lease) == name:
        return leading_role(status, lease)
    if status is not None and status.role == "primary":
        return "primary"
    return synchronous_role(status, lease) if status is not None else "replica"


def _state(seen: Observation, name: str, found: PodSeen | None, status: MemberStatus | None) -> str:
    if found is None:
        return "no pod"
    if name not in seen.answers:
        return "not asked"
    if status is None:
        return "no answer"
    if status.role == "replica" and streams_from_holder(status, seen.lock.record):
        return "streaming"
    return status.state


def _candidate(lease: Lease | None, name: str, status: MemberStatus | None) -> bool:
    """Recorded, and with the data that it was recorded with as far as it says so itself."""
    recorded = next((each for each in lease.candidates if each.member == name), None) if lease else None
    return recorded is not None and (status is None or status.incarnation == recorded.incarnation)


def _timeline(lease: Lease | None, leads: bool, status: MemberStatus | None) -> int | None:
    if status is not None:
        return status.position.timeline if status.position else None
    return lease.holder.writable or lease.holder.timeline if leads and lease and lease.holder else None


def _lag(seen: Observation, name: str, status: MemberStatus | None) -> tuple[int | None, int | None]:
    """Against the newest position known of the leader. Who said nothing is judged by its slot in the lock."""
    lease = seen.lock.record
    if lease is None:
        return None, None
    of_leader = seen.answers.get(lease.leader or "")
    newest = max(lease.optime, of_leader.position.lsn if of_leader and of_leader.position else 0)
    if status is None:
        slot = lease.slots.get(slot_name(name))
        return (max(0, lease.optime - slot), None) if slot else (None, None)
    if status.position is None:
        return None, None
    return max(0, newest - status.position.lsn), max(0, newest - status.replayed)


def _notes(
    seen: Observation, name: str, found: PodSeen | None, status: MemberStatus | None, role: str
) -> list[str]:  # fmt: skip
    notes = []
    if found is not None and found.pod.terminating:
        notes.append("terminating")
    if seen.target.members and name not in seen.target.members:
        notes.append("not a declared member")
    if name in seen.why:
        notes.append(seen.why[name])
    if status is not None:
        notes += _own_notes(seen, status, role)
        if status.tags:
            notes.append("tags: " + ", ".join(n if v == "true" else f"{n}={v}" for n, v in sorted(status.tags.items())))
    return notes


def _own_notes(seen: Observation, status: MemberStatus, role: str) -> list[str]:
    """What is odd about a member that answered; nothing about one that is as it should be."""
    lease, notes = seen.lock.record, []
    if role == "primary":
        notes.append("accepts writes without the lease")
    elif status.role == "replica" and status.streaming_from and not streams_from_holder(status, lease):
        notes.append(f"streams from {status.streaming_from} on timeline {status.receiver_timeline}")
    elif role not in LEADERS and status.streaming_from and not _candidate(lease, status.member, status):
        notes.append("not recorded as a candidate yet: it may not take the lease")
    if role in LEADERS and status.failsafe:
        notes.append("leads on promises: the Kubernetes API does not confirm its renewals")
    well = status.role == "primary" if role == "leader" else status.streaming_from is not None
    if not well and status.reason:
        notes.append(status.reason)
    if status.refused:
        notes.append(f"configuration refused: {status.refused}")
    notes += _certificate_notes(status, time.time())
    notes += [f"slot {name} {slot.state}" for name, slot in sorted(status.slots.items()) if slot.state in SHOWN]
    expected = seen.config.initialize
    if expected and expected.isdigit() and status.system_identifier not in (None, expected):
        notes.append(f"another system identifier: {status.system_identifier}")
    return notes


def _certificate_notes(status: MemberStatus, now: float) -> list[str]:
    notes = []
    for kind, each in sorted(status.certificates.items()):
        if each.refused:
            notes.append(f"{kind} certificate: {each.refused}")
        if each.expires is not None and each.expires - now < SOON:
            left = int((each.expires - now) // 86400)
            notes.append(f"{kind} certificate " + (f"ends in {left} days" if left >= 0 else "has expired"))
    return notes
