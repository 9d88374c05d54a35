"""TLS of the API: contexts from a folder with tls.crt, tls.key and ca.crt, and noticing that the files changed.

Kubernetes swaps all files of a mounted Secret at once through a symbolic link; a reader may still meet the old
certificate and the new key in between, so a pair that does not fit is tried again at the next look.
"""

from __future__ import annotations

import ssl
from pathlib import Path

FILES = ("tls.crt", "tls.key", "ca.crt")
Signature = tuple[tuple[int, int, int] | None, ...]


def signature(folder: Path) -> Signature:
    """Changes whenever one of the files does. Never raises."""
    return tuple(_stat(folder / name) for name in FILES)


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def server_context(folder: Path) -> ssl.SSLContext:
    """TLS 1.2 and newer; a client certificate is asked for and verified, not required. Raises OSError, ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_OPTIONAL
    load(context, folder)
    return context


def client_context(folder: Path) -> ssl.SSLContext:
    """Verifies the server against ca.crt; presents tls.crt where there is one. Raises OSError, ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load(context, folder, own=(folder / "tls.crt").exists())
    return context


def load(context: ssl.SSLContext, folder: Path, own: bool = True) -> None:
    """Read the files into a context, also a live one: connections from now on use them.

    An authority that a new ca.crt no longer names stays trusted until the agent restarts: OpenSSL adds only.
    """
    if own:
        context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    context.load_verify_locations(folder / "ca.crt")
