"""From what a program asks for over REST to a request, and its outcome (rest.asking.Ask)."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

from pgherd.kubernetes.request_text import EXPIRES, InvalidRequest, check, seconds
from pgherd.kubernetes.store import StoreError
from pgherd.model.request import Request, Verb
from pgherd.rest.asking import Ask, BadBody, Body, NotAsked
from pgherd.runtime.ports import Clock
from pgherd.runtime.requests import Requests

WHERE_THE_LEADER_ACTS = (Verb.SWITCHOVER, Verb.FAILOVER)


def made(verb: Verb, member: str, body: Body, by: str, now: datetime) -> Request:
    """Restart, reload and reinitialise are of `member`. Raises BadBody."""
    own = verb not in WHERE_THE_LEADER_ACTS
    if verb is Verb.FAILOVER and body.candidate is None:
        raise BadBody("candidate: a failover must name one")
    if body.scheduled_at and verb is not Verb.SWITCHOVER:
        raise BadBody(f"scheduled_at: a {verb.value} cannot be scheduled")
    try:
        begin = datetime.fromtimestamp(seconds(body.scheduled_at, "scheduled_at"), UTC) if body.scheduled_at else now
        if begin < now:
            raise BadBody(f"scheduled_at={body.scheduled_at!r}: must be in the future")
        return check(
            Request(
                id=uuid.uuid4().hex[:8],
                verb=verb,
                member=member if own else body.candidate,
                leader=None if own else body.leader,
                by=by,
                at=now.isoformat(timespec="seconds"),
                not_before=body.scheduled_at or "",
                expires=(begin + timedelta(seconds=EXPIRES)).isoformat(timespec="seconds"),
            )
        )
    except InvalidRequest as error:
        raise BadBody(str(error)) from None


def asker(requests: Requests, member: str, wall: Clock) -> Ask:
    async def ask(verb: Verb, body: Body, by: str) -> Request:
        request = made(verb, member, body, by, datetime.fromtimestamp(wall(), UTC))
        try:
            return await requests.ask(request)
        except StoreError as error:
            raise NotAsked(str(error)) from None

    return ask
