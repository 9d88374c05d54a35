"""The cluster in a few lines for whoever reads ConfigMap `<cluster>-status`: tools, dashboards, a person's `kubectl`.

Pure. Paths are those of a PostgresCluster's `.status` in PGO where it has them (`conditions`, `instances`,
`patroni.systemIdentifier`, `postgresVersion`); the rest is what it lacks. Nothing of the cluster reads it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from pgherd.model.lease import Lease
from pgherd.model.member import MemberStatus, Peer
from pgherd.model.settings import Configuration, Settings

UNKNOWN = "unknown"


class Condition(msgspec.Struct, frozen=True, rename="camel"):
    """As https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md."""

    type: str
    status: str
    """True or False."""
    reason: str
    message: str
    last_transition_time: str = ""


class Row(msgspec.Struct, frozen=True, rename="camel"):
    """One member, as the primary knows it."""

    name: str
    role: str
    """primary, replica, none, or unknown while it does not answer."""
    state: str
    timeline: int | None = None
    lag_bytes: int | None = None
    pending_restart: bool = False


class Instances(msgspec.Struct, frozen=True, rename="camel"):
    """One set of members."""

    name: str
    replicas: int
    ready_replicas: int


class Patroni(msgspec.Struct, frozen=True, rename="camel"):
    """Named as in PGO's status."""

    system_identifier: str | None


class Summary(msgspec.Struct, frozen=True, rename="camel"):
    """The document. `written` is when a primary last had something new to say."""

    written: str
    primary: str
    timeline: int | None
    epoch: int
    postgres_version: int
    patroni: Patroni
    instances: tuple[Instances, ...]
    members: tuple[Row, ...]
    conditions: tuple[Condition, ...]

    def said(self) -> Summary:
        """Without what changes all the time: two that are equal in this say the same."""
        members = tuple(msgspec.structs.replace(row, lag_bytes=None) for row in self.members)
        conditions = tuple(msgspec.structs.replace(each, last_transition_time="") for each in self.conditions)
        return msgspec.structs.replace(self, written="", members=members, conditions=conditions)


def set_of(cluster: str, member: str) -> str:
    """`demo-main-7k2p-0` of cluster demo is of set `main`."""
    return member.removeprefix(f"{cluster}-").rsplit("-", 2)[0]


def rows(own: MemberStatus, peers: Iterable[Peer], lease: Lease, members: Sequence[str]) -> tuple[Row, ...]:
    """Every declared member, by name."""
    known = {own.member: own} | {peer.pod.member: peer.status for peer in peers if peer.status is not None}
    return tuple(_row(name, known.get(name), lease) for name in sorted(members))


def _row(name: str, status: MemberStatus | None, lease: Lease) -> Row:
    if status is None:
        return Row(name, UNKNOWN, "no answer")
    position = status.position
    streams = status.role == "replica" and status.streaming_from == lease.leader
    return Row(
        name=name,
        role=status.role,
        state="streaming" if streams else status.state,
        timeline=position.timeline if position else None,
        lag_bytes=max(0, lease.optime - position.lsn) if position and name != lease.leader else None,
        pending_restart=bool(status.pending_restart),
    )


def summary(
    settings: Settings, configuration: Configuration, own: MemberStatus, peers: Sequence[Peer], lease: Lease, now: str
) -> Summary:
    """What the primary `own`, holder of `lease`, has to say; transitions are filled in by `since`."""
    found = rows(own, peers, lease, settings.members)
    well = [row.name for row in found if row.role == "primary" or row.state == "streaming"]
    sets, ready = (
        Counter(set_of(settings.cluster, name) for name in names) for names in (settings.members, well)
    )  # fmt: skip
    return Summary(
        written=now,
        primary=own.member,
        timeline=own.position.timeline if own.position else None,
        epoch=lease.epoch,
        postgres_version=settings.postgres.version,
        patroni=Patroni(own.system_identifier),
        instances=tuple(Instances(name, count, ready[name]) for name, count in sorted(sets.items())),
        members=found,
        conditions=tuple(_conditions(configuration, own, found, lease)),
    )


def _condition(kind: str, true: bool, reasons: tuple[str, str], message: str) -> Condition:
    return Condition(kind, str(true), reasons[0 if true else 1], message)


def _conditions(
    configuration: Configuration, own: MemberStatus, found: tuple[Row, ...], lease: Lease
) -> Iterable[Condition]:
    yield _condition(
        "Ready", lease.address is not None, ("PrimaryPublished", "NoPrimary"), f"{own.member} accepts writes"
    )
    silent = [row.name for row in found if row.role != "primary" and row.state != "streaming"]
    yield _condition(
        "ReplicasStreaming", not silent, ("AllStream", "SomeDoNot"),
        f"not streaming: {', '.join(silent)}" if silent else "every replica streams from the primary",
    )  # fmt: skip
    if configuration.synchronous:
        there, wanted = len(lease.sync.members) if lease.sync else 0, configuration.synchronous_node_count
        yield _condition(
            "SynchronousStandbys", there >= wanted, ("Enough", "TooFew"), f"{there} of {wanted} have every commit"
        )  # fmt: skip
    yield _condition("Paused", lease.pause, ("Maintenance", "Automatic"), "nothing fails over while it is true")
    waiting = [row.name for row in found if row.pending_restart]
    yield _condition(
        "RestartPending", bool(waiting), ("ParametersWait", "NothingWaits"), f"members: {', '.join(waiting) or 'none'}"
    )
    yield _condition(
        "ConfigurationInForce", not own.refused, ("Accepted", "Refused"), own.refused or "as it is configured"
    )


def since(new: Summary, before: Summary | None) -> Summary:
    """With the time of each condition's last transition: that of `before` while its status is the same."""
    times = {each.type: (each.status, each.last_transition_time) for each in before.conditions} if before else {}

    def dated(each: Condition) -> Condition:
        status, time = times.get(each.type, ("", ""))
        return msgspec.structs.replace(
            each, last_transition_time=time if status == each.status and time else new.written
        )

    return msgspec.structs.replace(new, conditions=tuple(dated(each) for each in new.conditions))


def read(text: str | None) -> Summary | None:
    """What somebody has written; None when nobody has, or it cannot be read."""
    try:
        return msgspec.json.decode(text, type=Summary) if text else None
    except msgspec.MsgspecError:
        return None
