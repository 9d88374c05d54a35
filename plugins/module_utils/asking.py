# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask the agents for something: one request, an annotation `request-<id>` of ConfigMap `<cluster>-ha-failover`.

Written by compare-and-swap and followed by watch until the member that executes it has answered. The request lives in
the API: it goes on when this process ends, and the same id twice is the same request, so that a play which was cut off
is run again and finds what became of it.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .client import MERGE_PATCH, Api, ApiError, Unreachable
from .names import FIELD_MANAGER, path
from .waiting import Watched, wait_on

VERBS = ("switchover", "failover", "restart", "reload", "reinitialize")
IDENTIFIER = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
FINISHED = ("done", "failed", "refused")
EXPIRES = 60.0
"""Seconds after which a request that nobody has begun is refused: it must not strike when it is forgotten."""
ATTEMPTS = 20
RETRY = 0.3


class Invalid(ValueError):
    """It cannot be asked for like this; the text names option, value and what is allowed."""


class NotDone(Exception):
    """Refused, failed, or not finished in time: `request` as it was last seen, and what was `done` before it."""

    def __init__(self, text: str, request: Request, done: Sequence[Request] = ()) -> None:
        super().__init__(text)
        self.request, self.done = request, tuple(done)


@dataclass(frozen=True)
class Request:
    """As the agents read it. Times are ISO 8601; whoever executes it writes `state`, `reason` and `result`."""

    id: str
    verb: str
    member: str = ""
    leader: str = ""
    parameters: Mapping[str, bool] = field(default_factory=dict)
    by: str = ""
    at: str = ""
    not_before: str = ""
    expires: str = ""
    state: str = "pending"
    reason: str = ""
    ended: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return self.state in FINISHED

    def __str__(self) -> str:
        return f"{self.verb} {self.id} is {self.state}" + (f": {self.reason}" if self.reason else "")

    def shown(self) -> dict[str, Any]:
        """What a module returns of it."""
        return {
            "id": self.id, "verb": self.verb, "member": self.member, "state": self.state, "reason": self.reason,
            "at": self.at, "not_before": self.not_before, "ended": self.ended, "result": dict(self.result),
        }  # fmt: skip


def make(
    verb: str,
    member: str = "",
    identifier: str | None = None,
    leader: str = "",
    parameters: Mapping[str, bool] | None = None,
    not_before: str = "",
) -> Request:
    """A new request, checked. Raises Invalid.

    Without an identifier it is new each time, unless it is for later: the same thing at the same time is the same
    request, whoever asks how often.
    """
    if not_before:
        begin = seconds(not_before, "scheduled")
        told = "/".join((verb, member, leader, str(begin), *sorted(parameters or ())))
        identifier = identifier or f"{verb}-{hashlib.sha256(told.encode()).hexdigest()[:12]}"
    else:
        begin = time.time()
    identifier = identifier or uuid.uuid4().hex[:12]
    if not IDENTIFIER.fullmatch(identifier):
        raise Invalid(f"request_id={identifier!r}: must be 1 to 40 of a-z, 0-9 and -, and begin and end without -")
    return Request(
        identifier, verb, member, leader, {name: True for name, value in (parameters or {}).items() if value},
        f"ansible of {_user()}", _text(time.time()), not_before, _text(begin + EXPIRES),
    )  # fmt: skip


def seconds(text: str, option: str) -> float:
    """ISO 8601 with an offset, as seconds of the epoch. Raises Invalid."""
    try:
        when = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise Invalid(f"{option}={text!r}: must be a time as 2026-01-31T22:00:00+00:00") from None
    if when.tzinfo is None:
        raise Invalid(f"{option}={text!r}: must say its offset from UTC, as 2026-01-31T22:00:00+00:00")
    return when.timestamp()


def _text(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).isoformat(timespec="seconds")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "an unnamed user"


@dataclass(frozen=True)
class Book:
    """Where a cluster's requests are."""

    api: Api
    namespace: str
    cluster: str

    @property
    def name(self) -> str:
        return f"{self.cluster}-ha-failover"

    @property
    def path(self) -> str:
        return path("ConfigMap", self.namespace, self.name)

    def read(self) -> tuple[str, dict[str, Request]]:
        """Version and requests by id. Raises Invalid when there is no such cluster."""
        try:
            metadata = self.api.request("GET", self.path)["metadata"]
        except ApiError as error:
            if error.status != 404:
                raise
            raise Invalid(
                f"there is no ConfigMap {self.name} in namespace {self.namespace}: cluster {self.cluster} was never "
                "made there; playbooks/site.yml makes it"
            ) from None
        return metadata["resourceVersion"], read_all(metadata.get("annotations") or {})

    def write(self, request: Request, version: str) -> None:
        text = json.dumps({name: value for name, value in _document(request).items() if value})
        annotations = {f"request-{request.id}": text}
        body = {"metadata": {"resourceVersion": version, "annotations": annotations}}
        self.api.request("PATCH", self.path, body, {"fieldManager": FIELD_MANAGER}, MERGE_PATCH)


def read_all(annotations: Mapping[str, str]) -> dict[str, Request]:
    """Requests by id; what is none is the agents' to complain about."""
    found = dict[str, Request]()
    known = Request.__dataclass_fields__
    for name, text in annotations.items():
        if not name.startswith("request-"):
            continue
        try:
            document = json.loads(text)
            given = {field: value for field, value in document.items() if field in known and value is not None}
            request = Request(**given)
        except (ValueError, TypeError, AttributeError):
            continue
        found[request.id] = request
    return found


def _document(request: Request) -> dict[str, Any]:
    return {name: getattr(request, name) for name in Request.__dataclass_fields__}


def send(book: Book, request: Request, limit: float = 30.0) -> Request:
    """Write it unless one of its id is there; as it is then. Raises Invalid, ApiError, Unreachable.

    A write without an answer may have succeeded: its id tells, so it is looked for, `limit` seconds.
    """
    end, written = time.monotonic() + limit, False
    for _attempt in range(ATTEMPTS):
        try:
            version, there = book.read()
        except Unreachable:
            if not written or time.monotonic() > end:
                raise
            time.sleep(RETRY)
            continue
        found = there.get(request.id)
        if found is not None:
            return same(found, request)
        if request.not_before and seconds(request.not_before, "scheduled") < time.time():
            raise Invalid(f"scheduled={request.not_before!r}: must be in the future (now is {_text(time.time())})")
        try:
            book.write(request, version)
            return request
        except Unreachable:
            written = True
        except ApiError as error:
            if error.status != 409:
                raise
        time.sleep(RETRY)
    raise Invalid(f"ConfigMap {book.name} is written by others all the time: nothing was asked for; try again")


def same(found: Request, request: Request) -> Request:
    """What is there under this id. Raises Invalid when it is another request."""
    mine, theirs = ((each.verb, each.member, each.leader, each.not_before) for each in (request, found))
    if mine != theirs:
        raise Invalid(
            f"request_id={request.id!r}: it is another request ({found.verb} {found.member or found.leader}); choose "
            "another id"
        )
    return found


def follow(book: Book, request: Request, limit: float) -> Request:
    """Its last state: finished, or what it was when the time was up. An API that is away meanwhile is asked again."""
    last = request

    def look() -> Request:
        nonlocal last
        try:
            last = book.read()[1].get(request.id, last)
        except Unreachable:
            pass
        except ApiError as error:
            if error.status < 500:
                raise
        return last

    watched = [Watched(path("ConfigMap", book.namespace), {"fieldSelector": f"metadata.name={book.name}"})]
    return wait_on(book.api, watched, look, lambda seen: seen.finished, limit)


def outcome(book: Book, sent: Request, limit: float) -> Request:
    """The end of a request that was sent, `limit` seconds; what is scheduled is not waited for. Raises NotDone with the
    agent's reason when it was refused or failed, or when it is not finished in time."""
    if sent.finished or limit <= 0 or (sent.not_before and sent.state == "pending"):
        return judged(sent)
    seen = follow(book, sent, limit)
    if not seen.finished:
        text = f"after {limit:g} s {seen} still. It goes on: request_id={seen.id} waits for its end."
        raise NotDone(text, seen)
    return judged(seen)


def judged(seen: Request) -> Request:
    """The same. Raises NotDone when it was refused or has failed."""
    if seen.state in ("failed", "refused"):
        raise NotDone(str(seen), seen)
    return seen
