"""The API's server: uvicorn inside the agent's event loop, over TLS only.

One task, `serve`, from the agent's start to its end; `rest.certificates.Live` changes the certificates
meanwhile. Signals, logging and the process belong to the agent, so uvicorn's own main loop (ten wake-ups a second) and
signal handlers are not used. Plain HTTP fails the TLS handshake: the connection closes.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from pgherd.model.settings import InvalidSetting, RestSettings
from pgherd.rest.certificates import Live

KEEP_ALIVE = 75
"""Seconds that an idle connection is kept: longer than peers wait between two polls."""
FIRST_REQUEST = 10.0
"""Seconds within which a new connection must begin to ask."""
STOP = 1
"""Seconds that answers under way have at the end."""

Report = Callable[[str], None]


def _subject(certificate: Any) -> str:
    """The subject's names as "CN=a,O=b", most specific first as RFC 4514 asks; "" without a certificate."""
    short = {"commonName": "CN", "organizationName": "O", "organizationalUnitName": "OU"}
    names = [f"{short.get(key, key)}={value}" for part in (certificate or {}).get("subject", ()) for key, value in part]
    return ",".join(reversed(names)) or ("subjectless" if certificate else "")


class _WithPeer:
    """Adds the extension `tls` to the scopes of one connection (https://asgi.readthedocs.io/en/latest/specs/tls.html)."""

    def __init__(self, app: Any, name: str) -> None:
        self._app: ASGIApp = app
        self._tls = {"client_cert_name": name or None}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["extensions"] = {**(scope.get("extensions") or {}), "tls": self._tls}
        await self._app(scope, receive, send)


class _Protocol(H11Protocol):
    """Knows the client's certificate, and does not wait for ever for a first request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        connection: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        self.app = _WithPeer(self.app, _subject(connection.getpeercert()) if connection else "")
        self.timeout_keep_alive_task = self.loop.call_later(FIRST_REQUEST, self.timeout_keep_alive_handler)


class _Log(logging.Handler):
    """uvicorn's warnings, as the agent's own sentences."""

    def __init__(self, report: Report) -> None:
        super().__init__(logging.WARNING)
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._report(f"REST: {record.getMessage().strip()}" + (f" {type(error).__name__}: {error}" if error else ""))


def _listen(settings: RestSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.listen else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.listen, settings.port))
    except OSError as error:
        listener.close()
        raise InvalidSetting(f"rest.port={settings.port} on {settings.listen}: {error.strerror}") from None
    return listener


async def serve(
    app: ASGIApp, settings: RestSettings, tls: Live, report: Report, ready: Callable[[int], None] | None = None
) -> None:
    """Serve until cancelled; then answers under way get STOP seconds.

    `ready` is called with the port once connections are accepted (settings.port 0 takes a free one).
    Raises InvalidSetting when the port is taken.
    """
    logger, handler = logging.getLogger("uvicorn.error"), _Log(report)
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=STOP,
        ssl_context_factory=lambda config, default: tls.context,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    logger.addHandler(handler)
    logger.propagate = False
    try:
        await _run(server, _listen(settings), ready)
    finally:
        logger.removeHandler(handler)


async def _run(server: uvicorn.Server, listener: socket.socket, ready: Callable[[int], None] | None) -> None:
    await server.startup(sockets=[listener])
    try:
        if ready is not None:
            ready(listener.getsockname()[1])
        await asyncio.get_running_loop().create_future()  # until cancelled
    finally:
        await server.shutdown(sockets=[listener])
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # lets the aborted connections close
