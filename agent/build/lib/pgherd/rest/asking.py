"""Patroni's paths by which a program asks for a change: each is a request to the agents (model.request), and waits.

    POST /switchover    leader, candidate, scheduled_at      POST /failover       candidate
    POST /restart, /reload, /reinitialize                    of the member that is asked

200 it is done, 202 it is scheduled or goes on, 400 the body is wrong, 412 it was refused, 503 it failed. The body says
why, and has the request's id.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from pgherd.model.request import Request, Stage, Verb

Subject = Callable[[HttpRequest], str]
"""Who asks, by the client's certificate."""

LARGEST = 4096
CODES = {Stage.DONE: 200, Stage.REFUSED: 412, Stage.FAILED: 503}


class Body(msgspec.Struct, frozen=True):
    """Of a switchover or failover; other keys of Patroni's are not looked at."""

    leader: str | None = None
    candidate: str | None = None
    scheduled_at: str | None = None


class BadBody(ValueError):
    """It cannot be asked for like this; the text names field, value and what is allowed."""


class NotAsked(RuntimeError):
    """The Kubernetes API did not take it."""


Ask = Callable[[Verb, Body, str], Awaitable[Request]]
"""(verb, body, by whom) -> the request as it is after some time. Raises BadBody, NotAsked."""


def routes(ask: Ask, subject: Subject) -> list[Route]:
    verbs = {
        "/switchover": Verb.SWITCHOVER, "/failover": Verb.FAILOVER, "/restart": Verb.RESTART,
        "/reload": Verb.RELOAD, "/reinitialize": Verb.REINITIALIZE,
    }  # fmt: skip
    return [Route(path, _endpoint(ask, verb, subject), methods=["POST"]) for path, verb in verbs.items()]


def _endpoint(ask: Ask, verb: Verb, subject: Subject) -> Callable[[HttpRequest], Awaitable[Response]]:
    async def answer(http: HttpRequest) -> Response:
        try:
            body = msgspec.json.decode(await _read(http) or b"{}", type=Body)
            outcome = await ask(verb, body, subject(http))
        except (msgspec.MsgspecError, BadBody) as error:
            return _json({"error": str(error)}, 400)
        except NotAsked as error:
            return _json({"error": f"it could not be asked for: {error}"}, 503)
        shown = {"id": outcome.id, "state": outcome.state.value, "reason": outcome.reason, "result": outcome.result}
        return _json(shown, CODES.get(outcome.state, 202))

    return answer


async def _read(http: HttpRequest) -> bytes:
    found = b""
    async for chunk in http.stream():
        found += chunk
        if len(found) > LARGEST:
            raise BadBody(f"the body has more than {LARGEST} bytes")
    return found


def _json(body: Any, status: int) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
