"""A request in Patroni's words: annotations `leader`, `member` (or `candidate`), `scheduled_at` beside ours.

With `leader` it is a switchover away from that member, without it a failover to `member`. The annotations are the
request until it begins, so whoever removes them before takes it back; from then on `request-<id>` has its state.
The write that finishes it removes them, so annotations that are there beside a finished request are a new one, and
get an id of their own. Pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from pgherd.kubernetes.request_text import EXPIRES, InvalidRequest, check, seconds
from pgherd.model.request import Request, Stage, Verb

KEYS = ("leader", "member", "candidate", "scheduled_at")
BY = "annotations"


def keyed(annotations: Mapping[str, str], requests: Mapping[str, Request]) -> Request | None:
    """What they ask for: as `requests` (by id) has it, once it has begun; refused where they cannot be one."""
    given = {name: annotations[name] for name in KEYS if annotations.get(name)}
    if not given:
        return None
    identifier = _identifier(given, requests)
    if identifier in requests:
        return requests[identifier]
    verb = Verb.SWITCHOVER if "leader" in given else Verb.FAILOVER
    plain = Request(identifier, verb, given.get("member") or given.get("candidate"), given.get("leader"), by=BY)
    try:
        return _checked(plain, given)
    except InvalidRequest as error:
        return msgspec.structs.replace(plain, state=Stage.REFUSED, reason=str(error))


def _identifier(given: Mapping[str, str], requests: Mapping[str, Request]) -> str:
    """The same for the same words, until a request of this id has ended."""
    digest = hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()[:8]
    names = (f"{BY}-{digest}", *(f"{BY}-{digest}-{number}" for number in range(2, len(requests) + 2)))
    return next(name for name in names if name not in requests or not requests[name].finished)


def _checked(plain: Request, given: Mapping[str, str]) -> Request:
    """Raises InvalidRequest."""
    if given.get("member", plain.member) != given.get("candidate", plain.member):
        raise InvalidRequest(
            f"candidate={given['candidate']!r}: is another name for member, which is {given['member']!r}; give one"
        )
    if plain.member is None and plain.verb is Verb.FAILOVER:
        raise InvalidRequest(
            "leader, member: one of them must be given (leader: a switchover; member alone: a failover)"
        )
    text = given.get("scheduled_at", "")
    if not text:
        return check(plain)
    if plain.verb is Verb.FAILOVER:
        raise InvalidRequest(f"scheduled_at={text!r}: a failover cannot be scheduled; with leader it is a switchover")
    begin = seconds(text, "scheduled_at")
    try:
        late = datetime.fromtimestamp(begin + EXPIRES, UTC)
    except (OverflowError, OSError, ValueError):
        raise InvalidRequest(f"scheduled_at={text!r}: must be a time of the years 1 to 9999") from None
    return check(msgspec.structs.replace(plain, not_before=text, expires=late.isoformat(timespec="seconds")))
