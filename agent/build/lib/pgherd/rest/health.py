"""What a health path answers: pure rules over a member's own words and the lease.

Every rule returns "" for yes (200), or the sentence that says why not (503). Paths, and who counts as what, are
Patroni's (https://patroni.readthedocs.io/en/latest/rest_api.html#health-check-endpoints).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import msgspec

from pgherd.model.lease import Lease
from pgherd.model.member import MemberStatus
from pgherd.model.settings import Configuration

LOST = 2.0
"""A standby stays ready for reads for so many ttl after it last streamed, so that reads go on during a failover."""

_UNITS = {"": 1, "b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40}


class BadQuery(ValueError):
    """A query parameter that means nothing (400)."""


class Seen(msgspec.Struct, frozen=True):
    """What a rule may look at."""

    member: MemberStatus
    lease: Lease | None
    configuration: Configuration
    streamed_ago: float | None
    decided_ago: float


Rule = Callable[[Seen, Mapping[str, str]], str]


def parse_size(text: str) -> int:
    """Bytes of "1048576", "16MB" or "1 gb" (powers of 1024, as PostgreSQL counts). Raises BadQuery."""
    found = re.fullmatch(r"\s*(\d+)\s*([A-Za-z]*)\s*", text)
    if found is None or found[2].lower() not in _UNITS:
        raise BadQuery(f"lag={text!r}: must be bytes, or a number with kB, MB, GB or TB")
    return int(found[1]) * _UNITS[found[2].lower()]


def streams_from_holder(status: MemberStatus, lease: Lease | None) -> bool:
    """Whether a replica counts as streaming: from the current holder and on its timeline (S8)."""
    if lease is None or lease.leader is None or lease.holder is None or lease.free:
        return False
    return status.streaming_from == lease.leader and status.receiver_timeline == lease.holder.timeline


def leading_role(status: MemberStatus | None, lease: Lease | None) -> str:
    """What the holder of the lease is: leader or standby_leader, by its own word or else by the lease's."""
    if status is not None and status.role in ("primary", "standby_leader"):
        return "leader" if status.role == "primary" else "standby_leader"
    follows = lease is not None and lease.holder is not None and lease.holder.standby
    return "standby_leader" if follows else "leader"


def synchronous_role(status: MemberStatus, lease: Lease | None) -> str:
    """What a replica is by the lease's set, with the data that it has: replica, sync_standby (it has every acknowledged
    commit) or quorum_standby (enough of them have)."""
    if lease is None or lease.sync is None or not _named(status, lease):
        return "replica"
    return "sync_standby" if lease.sync.votes == len(lease.sync.members) else "quorum_standby"


def _named(status: MemberStatus, lease: Lease) -> bool:
    if status.role != "replica" or lease.sync is None or status.member == lease.leader:
        return False
    return any((each.member, each.incarnation) == (status.member, status.incarnation) for each in lease.sync.members)


def lag(status: MemberStatus, lease: Lease | None, applied: bool = False) -> int | None:
    """Bytes behind the position that the holder last published; None when either is unknown."""
    if lease is None or status.position is None:
        return None
    return max(0, lease.optime - (status.replayed if applied else status.position.lsn))


def holds(seen: Seen, query: Mapping[str, str]) -> str:
    return "" if seen.member.holds_until > 0 else "this member does not hold the lease"


def primary(seen: Seen, query: Mapping[str, str]) -> str:
    """Holds the lease and accepts writes."""
    if why := holds(seen, query):
        return why
    return "" if seen.member.role == "primary" else f"this member holds the lease, but PostgreSQL is {_server(seen)}"


def standby_leader(seen: Seen, query: Mapping[str, str]) -> str:
    """Holds the lease of a standby cluster and follows the remote primary."""
    if why := holds(seen, query):
        return why
    if seen.member.role == "standby_leader":
        return ""
    return f"this member holds the lease, but PostgreSQL is {_server(seen)}"


def leads(seen: Seen, query: Mapping[str, str]) -> str:
    """Primary or standby leader."""
    return standby_leader(seen, query) if seen.member.role == "standby_leader" else primary(seen, query)


def replica(seen: Seen, query: Mapping[str, str]) -> str:
    """A running standby that may take reads, no further behind than `lag`, with every `tag_NAME` as asked."""
    if seen.member.role != "replica":
        return f"PostgreSQL is {_server(seen)}"
    if seen.member.tags.get("noloadbalance", "").lower() in ("true", "on", "yes", "1"):
        return "tag noloadbalance is set"
    return _tags(seen, query) or _lag(seen, query)


def synchronous(seen: Seen, query: Mapping[str, str]) -> str:
    """A replica of the lease's synchronous set."""
    if synchronous_role(seen.member, seen.lease) != "sync_standby":
        return "this member is no synchronous standby"
    return replica(seen, query)


def quorum(seen: Seen, query: Mapping[str, str]) -> str:
    """A voter of the lease's set."""
    if synchronous_role(seen.member, seen.lease) != "quorum_standby":
        return "this member is no quorum standby"
    return replica(seen, query)


def asynchronous(seen: Seen, query: Mapping[str, str]) -> str:
    if synchronous_role(seen.member, seen.lease) != "replica":
        return "this member is a synchronous standby"
    return replica(seen, query)


def read_only_synchronous(seen: Seen, query: Mapping[str, str]) -> str:
    return _tags(seen, query) if not leads(seen, query) else synchronous(seen, query)


def read_only_quorum(seen: Seen, query: Mapping[str, str]) -> str:
    return _tags(seen, query) if not leads(seen, query) else quorum(seen, query)


def read_only(seen: Seen, query: Mapping[str, str]) -> str:
    if not leads(seen, query):
        return _tags(seen, query)
    return replica(seen, query)


def running(seen: Seen, query: Mapping[str, str]) -> str:
    return "" if seen.member.role in ("primary", "standby_leader", "replica") else f"PostgreSQL is {_server(seen)}"


def liveness(seen: Seen, query: Mapping[str, str]) -> str:
    """The agent decides: within ttl on a holder, within 2 ttl elsewhere."""
    limit = seen.configuration.ttl * (1 if seen.member.holds_until > 0 else 2)
    return "" if seen.decided_ago <= limit else f"the agent's last decision is {seen.decided_ago:.0f} s old"


def readiness(seen: Seen, query: Mapping[str, str]) -> str:
    """Who leads with the lease, or a standby that streams from the holder or lost it less than 2 ttl ago."""
    if not leads(seen, query):
        return ""
    if seen.member.role == "primary":
        return "PostgreSQL is a primary without the lease"
    if seen.member.role != "replica":
        return f"PostgreSQL is {_server(seen)}"
    if streams_from_holder(seen.member, seen.lease):
        return _lag(seen, query)
    bound = LOST * seen.configuration.ttl
    if seen.streamed_ago is None:
        return "this standby has not streamed from the holder of the lease yet"
    if seen.streamed_ago < bound:
        return _lag(seen, query)
    return (
        f"this standby has not streamed from the holder of the lease for {seen.streamed_ago:.0f} s (bound: {bound:g} s)"
    )


def _server(seen: Seen) -> str:
    member = seen.member
    said = {"primary": "a primary", "standby_leader": "a standby leader", "replica": "a standby"}
    return said.get(member.role, member.state)


def _tags(seen: Seen, query: Mapping[str, str]) -> str:
    for name, wanted in query.items():
        if name.startswith("tag_") and seen.member.tags.get(name[4:], "").lower() != wanted.lower():
            return f"tag {name[4:]} is {seen.member.tags.get(name[4:])!r}, not {wanted!r}"
    return ""


def _lag(seen: Seen, query: Mapping[str, str]) -> str:
    if "lag" not in query:
        return ""
    mode = query.get("mode", "write")
    if mode not in ("apply", "write"):
        raise BadQuery(f"mode={mode!r}: must be apply or write")
    most, behind = parse_size(query["lag"]), lag(seen.member, seen.lease, applied=mode == "apply")
    if behind is None:
        return "the lag is not known"
    return "" if behind <= most else f"the lag is {behind} bytes, more than {most}"


RULES: Mapping[str, Rule] = {
    "/": primary,
    "/primary": primary,
    "/master": primary,
    "/read-write": primary,
    "/leader": holds,
    "/standby-leader": standby_leader,
    "/standby_leader": standby_leader,
    "/replica": replica,
    "/read-only": read_only,
    "/synchronous": synchronous,
    "/sync": synchronous,
    "/read-only-sync": read_only_synchronous,
    "/quorum": quorum,
    "/read-only-quorum": read_only_quorum,
    "/asynchronous": asynchronous,
    "/async": asynchronous,
    "/health": running,
    "/liveness": liveness,
    "/readiness": readiness,
}
