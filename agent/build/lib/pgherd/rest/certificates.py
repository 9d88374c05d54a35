"""TLS of the API: contexts from a folder with tls.crt, tls.key and ca.crt, and a server whose context changes."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any


class Live:
    """The server's TLS. New connections use what was loaded last, and trust nothing else; the others go on.

    A context only ever adds authorities, so each load makes a new one, which is put in when a client says hello.
    """

    def __init__(self, folder: Path) -> None:
        """Raises OSError, ssl.SSLError when there is nothing to begin with."""
        self.folder = folder
        self._current = server_context(folder)
        self.context = server_context(folder)
        # Without tickets no session of before is resumed past the authorities of now.
        self.context.options |= ssl.OP_NO_TICKET
        self.context.num_tickets = 0
        self.context.sni_callback = self._choose

    def load(self) -> None:
        """Read the files again. Raises OSError, ssl.SSLError, and then the old ones stay."""
        self._current = server_context(self.folder)

    def _choose(self, connection: Any, name: str | None, context: ssl.SSLContext) -> None:
        connection.context = self._current


def server_context(folder: Path) -> ssl.SSLContext:
    """TLS 1.2 and newer; a client certificate is asked for and verified, not required. Raises OSError, ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_OPTIONAL
    _load(context, folder)
    return context


def client_context(folder: Path) -> ssl.SSLContext:
    """Verifies the server against ca.crt; presents tls.crt where there is one. Raises OSError, ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, folder, own=(folder / "tls.crt").exists())
    return context


def _load(context: ssl.SSLContext, folder: Path, own: bool = True) -> None:
    if own:
        context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    context.load_verify_locations(folder / "ca.crt")
