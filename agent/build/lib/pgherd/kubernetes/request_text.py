"""A request as the text of its annotation, checked: field, value, and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

import msgspec

from pgherd.model.request import Request, Verb

PREFIX = "request-"
EXPIRES = 60.0
"""Seconds after which a request that nobody has begun is refused: it must not strike when it is forgotten."""
IDENTIFIER = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


class InvalidRequest(ValueError):
    """An annotation that is not a request; the text names annotation, value and what is allowed."""


def key(identifier: str) -> str:
    return f"{PREFIX}{identifier}"


def seconds(text: str, field: str) -> float:
    """ISO 8601 with an offset as seconds of the epoch. Raises InvalidRequest."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidRequest(f"{field}={text!r}: must be a time as 2026-01-31T22:00:00+00:00") from None
    if when.tzinfo is None:
        raise InvalidRequest(f"{field}={text!r}: must say its offset from UTC, as 2026-01-31T22:00:00+00:00")
    return when.timestamp()


def check(request: Request) -> Request:
    """The same request. Raises InvalidRequest naming what is wrong."""
    if not IDENTIFIER.fullmatch(request.id):
        raise InvalidRequest(f"id={request.id!r}: must be 1 to 40 of a-z, 0-9 and -, and begin and end without -")
    if request.member is None and request.verb is not Verb.SWITCHOVER:
        raise InvalidRequest(f"member: a {request.verb.value} must name one")
    forced = request.parameters.accept_loss or request.parameters.leader_is_dead
    if forced and request.verb is not Verb.FAILOVER:
        raise InvalidRequest(f"parameters: a {request.verb.value} takes none of accept_loss, leader_is_dead")
    if request.parameters.only_pending and request.verb is not Verb.RESTART:
        raise InvalidRequest(f"parameters: a {request.verb.value} does not take only_pending")
    for field, text in (("not_before", request.not_before), ("expires", request.expires), ("ended", request.ended)):
        if text:
            seconds(text, field)
    return request


def read(annotations: Mapping[str, str]) -> tuple[tuple[Request, ...], tuple[str, ...]]:
    """The requests, oldest first, and a sentence for each annotation that is none."""
    found, wrong = [], []
    for name, text in annotations.items():
        if not name.startswith(PREFIX):
            continue
        try:
            request = check(msgspec.json.decode(text, type=Request))
            if key(request.id) != name:
                raise InvalidRequest(f"its id is {request.id!r}")
            found.append(request)
        except (msgspec.MsgspecError, InvalidRequest) as error:
            wrong.append(f"annotation {name}: {error}")
    return tuple(sorted(found, key=lambda each: (each.at, each.id))), tuple(wrong)


def write(request: Request) -> str:
    return msgspec.json.encode(request).decode()
