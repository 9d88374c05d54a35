"""Which path answers 200 for whom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from pgherd.model.lease import Lease
from pgherd.model.member import MemberStatus
from pgherd.model.settings import Configuration
from pgherd.model.synchronous import Standby, Synchronous
from pgherd.rest.health import RULES, BadQuery, Seen, lag, parse_size, streams_from_holder
from tests.unit.rest.stand_ins import LEASE, MB, PRIMARY, REPLICA

STARTING = replace(PRIMARY, state="starting", role="none")
STRAY = replace(PRIMARY, holds_until=0.0)


def yes(path: str, status: MemberStatus, query: Mapping[str, str] | None = None, **seen: Any) -> bool:
    now = Seen(status, seen.get("lease", LEASE), Configuration(), seen.get("streamed"), seen.get("decided", 0.0))
    return not RULES[path](now, query or {})


@pytest.mark.parametrize(
    ("path", "primary", "replica", "starting", "stray"),
    [
        ("/", True, False, False, False),
        ("/primary", True, False, False, False),
        ("/master", True, False, False, False),
        ("/read-write", True, False, False, False),
        ("/leader", True, False, True, False),
        ("/replica", False, True, False, False),
        ("/read-only", True, True, False, False),
        ("/synchronous", False, False, False, False),
        ("/read-only-sync", True, False, False, False),
        ("/quorum", False, False, False, False),
        ("/read-only-quorum", True, False, False, False),
        ("/asynchronous", False, True, False, False),
        ("/health", True, True, False, True),
        ("/liveness", True, True, True, True),
        ("/readiness", True, True, False, False),
    ],
)
def test_paths(path: str, primary: bool, replica: bool, starting: bool, stray: bool) -> None:
    found = [yes(path, status) for status in (PRIMARY, REPLICA, STARTING, STRAY)]
    assert found == [primary, replica, starting, stray]


@pytest.mark.parametrize("path", ["/synchronous", "/sync", "/read-only-sync"])
@pytest.mark.parametrize(("incarnation", "counts"), [("i1", True), ("cloned since", False)])
def test_a_synchronous_standby_is_one_with_the_data_that_the_lease_names(
    path: str, incarnation: str, counts: bool
) -> None:
    names = Synchronous("on", Standby("demo-a-0", "i0"), (Standby(REPLICA.member, "i1"),), 1)
    replica, lease = replace(REPLICA, incarnation=incarnation), replace(LEASE, sync=names)
    assert yes(path, replica, lease=lease) is counts
    assert yes("/async", replica, lease=lease) is not counts
    voters = replace(names, mode="quorum", members=(*names.members, Standby("demo-c-0", "i2")))
    lease = replace(LEASE, sync=voters)
    assert not yes(path, replica, lease=lease) and yes("/quorum", replica, lease=lease) is counts


@pytest.mark.parametrize(
    ("streams_from", "timeline", "lease", "counts"),
    [
        ("demo-a-0", 2, LEASE, True),
        ("demo-c-0", 2, LEASE, False),
        ("demo-a-0", 1, LEASE, False),
        (None, None, LEASE, False),
        ("demo-a-0", 2, None, False),
        ("demo-a-0", 2, replace(LEASE, released=3), False),
        ("demo-a-0", 2, replace(LEASE, released=2), True),
    ],
)
def test_streaming_means_from_the_holder_on_its_timeline(
    streams_from: str | None, timeline: int | None, lease: Lease | None, counts: bool
) -> None:
    status = replace(REPLICA, streaming_from=streams_from, receiver_timeline=timeline)
    assert streams_from_holder(status, lease) is counts


def test_a_standby_stays_ready_for_two_ttl_after_its_holder_was_lost() -> None:
    lost = replace(REPLICA, streaming_from=None, receiver_timeline=None)
    assert yes("/readiness", lost, streamed=19.9)
    assert not yes("/readiness", lost, streamed=20.0)
    assert not yes("/readiness", lost, streamed=None)
    assert yes("/readiness", lost, lease=None, streamed=5.0)


def test_liveness_is_the_age_of_the_last_decision() -> None:
    assert yes("/liveness", PRIMARY, decided=10.0) and not yes("/liveness", PRIMARY, decided=10.1)
    assert yes("/liveness", REPLICA, decided=20.0) and not yes("/liveness", REPLICA, decided=20.1)


def test_lag_and_tags_narrow_a_replica() -> None:
    assert lag(REPLICA, LEASE) == MB and lag(REPLICA, LEASE, applied=True) == 4 * MB
    assert yes("/replica", REPLICA, {"lag": "1MB"}) and not yes("/replica", REPLICA, {"lag": "1023kB"})
    assert yes("/readiness", REPLICA, {"lag": "4MB", "mode": "apply"})
    assert not yes("/readiness", REPLICA, {"lag": "3MB", "mode": "apply"})
    assert not yes("/replica", REPLICA, {"lag": "1MB"}, lease=None)
    tagged = replace(REPLICA, tags={"zone": "a"})
    assert yes("/replica", tagged, {"tag_zone": "A"}) and not yes("/replica", tagged, {"tag_zone": "b"})
    assert not yes("/replica", replace(REPLICA, tags={"noloadbalance": "true"}))


@pytest.mark.parametrize(("text", "size"), [("0", 0), ("16MB", 16 * MB), ("1 gb", 1 << 30), ("8kB", 8192)])
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("query", [{"lag": "much"}, {"lag": "-1"}, {"lag": "1XB"}, {"lag": "1", "mode": "flush"}])
def test_nonsense_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(BadQuery, match="must be"):
        yes("/replica", REPLICA, query)
