"""The paths of the API as a Starlette application over a StatusSource.

GET, HEAD and OPTIONS are open to everyone who can reach the port: probes and load balancers carry no certificate.
Any other method needs one that the server's TLS layer verified, before it is even looked for, and not one of those
that log a program in at PostgreSQL: a pooler has no business with the cluster's configuration.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from pgherd.model.certificate import LOGINS
from pgherd.model.promises import Question
from pgherd.rest import asking, configuring, documents
from pgherd.rest.health import RULES, BadQuery, Rule, Seen
from pgherd.rest.source import Measure, Promiser, StatusSource

LARGEST = 64 * 1024
"""Bytes of a question; one with a hundred unanswered writes has 4,000."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
REFRESH = 0.5
"""Seconds that `/member` waits for a fresh look at PostgreSQL: half of what a peer waits for the answer."""

Endpoint = Callable[[Request], Awaitable[Response]]


def build(
    source: StatusSource, answer: Promiser, ask: asking.Ask, change: configuring.Change, measure: Measure,
    port: int = 5432,
) -> Starlette:  # fmt: skip
    """`answer` gives or refuses promises, `ask` carries requests, `change` the configuration, `measure` asks PostgreSQL
    for its statistics; `port` is PostgreSQL's."""
    routes = [_route(path, _health(source, rule)) for path, rule in RULES.items()]
    for path, body in _bodies(source, port).items():
        routes.append(_route(path, _document(body)))
    routes.append(_route("/member", _member(source)))
    routes.append(_route("/metrics", _metrics(source, measure)))
    routes += asking.routes(ask, lambda request: _certified(request.scope))
    routes += configuring.routes(change, lambda request: _certified(request.scope))
    routes.append(Route("/promise", _promise(answer), methods=["POST"]))
    return Starlette(routes=routes, middleware=[Middleware(Authorization)])


class Authorization:
    """Refuses unsafe methods (403) without a fit client certificate that TLS has verified (ASGI extension `tls`)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in SAFE and not _certified(scope):
            text = "this method needs a client certificate that the cluster's authority signed"
            await _json({"error": text}, 403)(scope, receive, send)
        elif scope["type"] == "http" and scope["method"] not in SAFE and (login := _login(scope)):
            text = f"the certificate of {login} logs in at PostgreSQL; it gives no right to this method"
            await _json({"error": text}, 403)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _certified(scope: Scope) -> str:
    """The subject of the client's certificate, most specific name first; empty without one."""
    return (scope.get("extensions") or {}).get("tls", {}).get("client_cert_name") or ""


def _login(scope: Scope) -> str:
    """Whose certificate this is, when that is for PostgreSQL alone; else empty."""
    return next((name for name in LOGINS if _certifies(scope, name)), "")


def _certifies(scope: Scope, name: str) -> bool:
    """Whether the client's certificate bears exactly this common name."""
    return f"{_certified(scope)},".startswith(f"CN={name},")


def _json(body: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")


def _route(path: str, endpoint: Endpoint) -> Route:
    async def answer(request: Request) -> Response:
        response = await endpoint(request)
        # The status alone, as HAProxy's OPTIONS checks expect (HEAD loses its body in the server).
        return Response(status_code=response.status_code) if request.method == "OPTIONS" else response

    return Route(path, answer, methods=["GET", "OPTIONS"])


def seen(source: StatusSource) -> Seen:
    return Seen(
        source.member(), source.lease(), source.configuration, source.streamed_ago(), source.decided_ago()
    )  # fmt: skip


def _health(source: StatusSource, rule: Rule) -> Endpoint:
    async def answer(request: Request) -> Response:
        now = seen(source)
        try:
            why = rule(now, request.query_params)
        except BadQuery as error:
            return _json({"error": str(error)}, 400)
        body = documents.patroni(source.cluster_name, now.member, now.lease)
        return _json({**body, "reason": why}, 503) if why else _json(body)

    return answer


def _bodies(source: StatusSource, port: int) -> dict[str, Callable[[], Any]]:
    def cluster() -> Any:
        return documents.cluster(
            source.cluster_name, source.member(), source.address, source.peers(), source.lease(), port
        )  # fmt: skip

    return {
        "/patroni": lambda: documents.patroni(source.cluster_name, source.member(), source.lease()),
        "/cluster": cluster,
        "/history": source.history,
        "/config": source.stored,
    }


def _document(body: Callable[[], Any]) -> Endpoint:
    async def answer(request: Request) -> Response:
        return _json(body())

    return answer


def _member(source: StatusSource) -> Endpoint:
    async def answer(request: Request) -> Response:
        # A PostgreSQL that does not answer must not silence its agent: peers need to know who holds the lease.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REFRESH):
                await source.refresh()
        return _json(source.member())

    return answer


def _promise(answer: Promiser) -> Endpoint:
    async def respond(request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > LARGEST:
                return _json({"error": f"a question has at most {LARGEST} bytes"}, 413)
        try:
            asked = msgspec.json.decode(body, type=Question)
        except msgspec.MsgspecError as error:
            return _json({"error": f"not a question for a promise: {error}"}, 400)
        if not _certifies(request.scope, asked.member):
            text = f"only {asked.member} itself may ask for promises: the certificate is that of another"
            return _json({"error": text}, 403)
        return _json(answer(asked))

    return respond


def _metrics(source: StatusSource, measure: Measure) -> Endpoint:
    async def answer(request: Request) -> Response:
        from pgherd.rest import metrics

        return Response(metrics.render(source, await measure()), media_type=metrics.CONTENT_TYPE)

    return answer
