"""What a program asks for over REST becomes a request, or is refused with field and value."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.unit.runtime.stand_ins import Bench, Clock

from pgherd.kubernetes.store import RequestsSeen
from pgherd.model.request import Stage, Verb
from pgherd.rest.asking import BadBody, Body, NotAsked
from pgherd.runtime.asking import asker, made
from pgherd.runtime.requests import Requests

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = "2026-01-01T01:00:00+00:00"


@pytest.mark.parametrize(
    ("verb", "body", "member", "leader"),
    [
        (Verb.SWITCHOVER, Body("demo-0", "demo-1"), "demo-1", "demo-0"),
        (Verb.SWITCHOVER, Body(), None, None),
        (Verb.FAILOVER, Body(None, "demo-1"), "demo-1", None),
        (Verb.RESTART, Body("demo-0", "demo-1"), "demo-0", None),
        (Verb.REINITIALIZE, Body(), "demo-0", None),
    ],
)
def test_whom_a_request_is_about(verb: Verb, body: Body, member: str | None, leader: str | None) -> None:
    found = made(verb, "demo-0", body, "me", NOW)
    assert (found.verb, found.member, found.leader, found.by) == (verb, member, leader, "me")
    assert (found.at, found.expires) == ("2026-01-01T00:00:00+00:00", "2026-01-01T00:01:00+00:00")


def test_a_schedule_expires_a_minute_after_its_time() -> None:
    found = made(Verb.SWITCHOVER, "demo-0", Body(scheduled_at=LATER), "me", NOW)
    assert (found.not_before, found.expires) == (LATER, "2026-01-01T01:01:00+00:00")


@pytest.mark.parametrize(
    ("verb", "body", "text"),
    [
        (Verb.FAILOVER, Body(), "candidate: a failover must name one"),
        (Verb.RESTART, Body(scheduled_at=LATER), "scheduled_at: a restart cannot be scheduled"),
        (Verb.SWITCHOVER, Body(scheduled_at="tomorrow"), "scheduled_at='tomorrow'"),
        (Verb.SWITCHOVER, Body(scheduled_at="2001-01-01T00:00:00+00:00"), "must be in the future"),
    ],
)
def test_what_cannot_work_is_refused(verb: Verb, body: Body, text: str) -> None:
    with pytest.raises(BadBody, match=text):
        made(verb, "demo-0", body, "me", NOW)


async def test_it_is_written_to_the_object_of_the_requests_or_it_is_said_why_not(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    requests = Requests(bench.state, bench.stores.requests, bench.clock, Clock(NOW.timestamp()), bench.log)
    ask = asker(requests, "demo-0", Clock(NOW.timestamp()))
    found = await ask(Verb.SWITCHOVER, Body(scheduled_at=LATER), "me")
    assert found.state is Stage.PENDING
    assert [each.id for each in bench.memory.requests.value.requests] == [found.id]
    bench.memory.requests.put(RequestsSeen())
    with pytest.raises(NotAsked, match="missing"):
        await ask(Verb.SWITCHOVER, Body(scheduled_at=LATER), "me")
