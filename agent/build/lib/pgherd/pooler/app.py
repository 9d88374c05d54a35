"""The pooler's small API: POST /pause for the agents, GET /health for people. TLS and rights as the agents' own."""

from __future__ import annotations

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pgherd.pooler.pausing import NoPrimary, Pausing
from pgherd.rest.app import Authorization


def build(pausing: Pausing, pausable: bool) -> Starlette:
    """A pool of replicas refuses to be paused: the primary's change is none of its clients' business."""

    async def pause(request: Request) -> Response:
        if not pausable:
            return _json({"error": "a pool of replicas is not paused"}, 409)
        try:
            return _json({"state": await pausing.pause()})
        except NoPrimary as error:
            return _json({"error": str(error)}, 503)
        except Exception as error:  # what PgBouncer's console says
            return _json({"error": f"{type(error).__name__}: {error}"}, 500)

    async def health(request: Request) -> Response:
        return _json({"state": pausing.state})

    routes = [Route("/pause", pause, methods=["POST"]), Route("/health", health, methods=["GET"])]
    return Starlette(routes=routes, middleware=[Middleware(Authorization)])


def _json(body: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
