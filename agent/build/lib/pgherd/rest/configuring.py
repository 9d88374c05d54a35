"""Patroni's `/config`: the dynamic configuration as it is stored, and changes of it.

    GET     what is stored; what it leaves out has its default (docs/settings.md)
    PATCH   a JSON object merged into it: mappings into mappings, null removes a key
    PUT     a JSON object in place of it

A change answers 200 with what is stored then, 400 for a body or a value that cannot work (field, value, what is
allowed; nothing is changed), 409 when others changed it all the time, 503 when the Kubernetes API did not take it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

LARGEST = 256 * 1024
"""Bytes of a body: as much as Kubernetes keeps of annotations."""

Subject = Callable[[Request], str]


class Refusal(Exception):
    """It was not changed; the text says why."""

    status = 500


class Invalid(Refusal):
    """It cannot be the configuration; the text names field, value and what is allowed."""

    status = 400


class Overtaken(Refusal):
    """Somebody else's changes came first each time."""

    status = 409


class NotStored(Refusal):
    """The Kubernetes API did not take it, or did not say that it did."""

    status = 503


Change = Callable[[Mapping[str, Any], bool, str], Awaitable[Mapping[str, Any]]]
"""(body, whether it replaces, by whom) -> what is stored then. Raises Refusal."""


def routes(change: Change, subject: Subject) -> list[Route]:
    def endpoint(replaces: bool) -> Callable[[Request], Awaitable[Response]]:
        async def answer(http: Request) -> Response:
            try:
                return _json(await change(await _body(http), replaces, subject(http)), 200)
            except Refusal as error:
                return _json({"error": str(error)}, error.status)

        return answer

    return [Route("/config", endpoint(method == "PUT"), methods=[method]) for method in ("PATCH", "PUT")]


async def _body(http: Request) -> dict[str, Any]:
    """Raises Invalid."""
    found = b""
    async for chunk in http.stream():
        found += chunk
        if len(found) > LARGEST:
            raise Invalid(f"the body has more than {LARGEST} bytes")
    try:
        return msgspec.json.decode(found, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Invalid(f"the body must be a JSON object of settings: {error}") from None


def _json(body: Any, status: int) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
