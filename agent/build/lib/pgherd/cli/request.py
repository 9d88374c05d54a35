"""One request to the agents: made, sent by compare-and-swap, and followed until it is finished."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from pgherd.cli.observe import LIMIT, Api, NoCluster, opened
from pgherd.cli.target import Target
from pgherd.kubernetes.request_text import EXPIRES, InvalidRequest, check, seconds
from pgherd.kubernetes.store import Conflict, RequestsSeen, StoreError
from pgherd.model.request import Request, Stage, Verb
from pgherd.model.settings import InvalidSetting

POLL = 0.1
"""Seconds between two looks at a request that is under way."""
ATTEMPTS = 20


def make(verb: Verb, member: str | None, identifier: str | None, **more: Any) -> Request:
    """Checked. Raises InvalidSetting naming field, value and what is allowed."""
    now = time.time()
    who = os.environ.get("PGHERD_MEMBER") or os.environ.get("USER") or str(os.getuid())
    request = Request(
        id=identifier or uuid.uuid4().hex[:8], verb=verb, member=member, by=f"pgherd in {who}", at=_text(now), **more
    )
    try:
        check(request)
        begin = seconds(request.not_before, "not_before") if request.not_before else now
    except InvalidRequest as error:
        raise InvalidSetting(str(error).replace("not_before", "--scheduled")) from None
    if request.not_before and begin < now:
        raise InvalidSetting(f"--scheduled={request.not_before!r}: must be in the future (now is {_text(now)})")
    return msgspec.structs.replace(request, expires=_text(begin + EXPIRES))


def _text(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).isoformat(timespec="seconds")


async def read(target: Target) -> tuple[Request, ...]:
    async with opened(target) as api:
        return (await _read(api, target)).requests


async def _read(api: Api, target: Target) -> RequestsSeen:
    seen = await api.requests.read(LIMIT)
    if not seen.version:
        raise NoCluster(f"there is no ConfigMap {target.cluster}-ha-failover in namespace {api.namespace}")
    return seen


async def _write(api: Api, target: Target, change: Callable[[RequestsSeen], Request | None]) -> None:
    """What `change` makes of what is there, None for nothing; again while somebody else writes at the same time."""
    for _ in range(ATTEMPTS):
        seen = await _read(api, target)
        request = change(seen)
        if request is None:
            return
        try:
            await api.requests.write({request.id: request}, seen, LIMIT)
            return
        except Conflict:
            await asyncio.sleep(POLL)
    raise StoreError(f"ConfigMap {target.cluster}-ha-failover changes all the time: nothing was asked for")


async def ask(target: Target, request: Request, limit: float, say: Callable[[Request], None]) -> Request:
    """Send it, unless one of that id is there, and wait for its end, `limit` seconds; as it is then.

    What is scheduled is not waited for. `say` hears of each stage before the last.
    """

    def add(seen: RequestsSeen) -> Request | None:
        there = _of(seen, request.id)
        if there is not None and (there.verb, there.member) != (request.verb, request.member):
            raise InvalidSetting(f"id={request.id!r}: it is another request ({there.verb.value} {there.member or ''})")
        return None if there else request

    async with opened(target) as api:
        await _write(api, target, add)
        if request.not_before:
            return request
        end, last = time.monotonic() + limit, request
        while True:
            now = _of(await _read(api, target), request.id) or last
            if now.finished or time.monotonic() > end:
                return now
            if now.state is not last.state:
                say(now)
            last = now
            await asyncio.sleep(POLL)


async def cancel(target: Target, identifier: str) -> Request:
    """Refused in a person's name, if nobody has begun it. Raises InvalidSetting."""
    made: list[Request] = []

    def refuse(seen: RequestsSeen) -> Request:
        there = _of(seen, identifier)
        if there is None:
            known = ", ".join(each.id for each in seen.requests) or "none"
            raise InvalidSetting(f"ID {identifier!r}: there is no such request (there are: {known})")
        if there.state is not Stage.PENDING:
            raise InvalidSetting(f"ID {identifier!r}: it is {there.state.value} already")
        ended = _text(time.time())
        made.append(msgspec.structs.replace(there, state=Stage.REFUSED, reason="cancelled", ended=ended))
        return made[-1]

    async with opened(target) as api:
        await _write(api, target, refuse)
    return msgspec.structs.replace(made[-1], state=Stage.DONE, reason="it was cancelled before anybody had begun")


def _of(seen: RequestsSeen, identifier: str) -> Request | None:
    return next((each for each in seen.requests if each.id == identifier), None)
