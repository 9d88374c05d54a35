"""The names of a server's certificate, judged by libpq, by which members dial each other."""

from __future__ import annotations

import datetime
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.pgherd.postgres.plugins.module_utils.certificates import wanted
from ansible_collections.pgherd.postgres.plugins.module_utils.x509 import leaf_of, new_authority, new_leaf

from .rendering import cluster

psycopg = pytest.importorskip("psycopg")
DAY = datetime.timedelta(days=1)


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """A server with the certificate of a cluster that says "verified" to whoever goes on after the handshake."""
    now = datetime.datetime.now(datetime.UTC)
    authority = new_authority("demo", now, 9 * DAY)
    pair = new_leaf(authority, leaf_of(wanted(cluster())[0]), now, DAY)
    for name, content in (("ca.crt", authority.certificate), ("tls.crt", pair.certificate), ("tls.key", pair.key)):
        (tmp_path / name).write_bytes(content)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_serve, args=(listening, context), daemon=True).start()
        yield listening.getsockname()[1]


def _serve(listening: socket.socket, context: ssl.SSLContext) -> None:
    said = b"SFATAL\0VFATAL\0C28000\0Mverified\0\0"
    try:
        raw, _ = listening.accept()
        raw.recv(8)
        raw.sendall(b"S")
        with context.wrap_socket(raw, server_side=True) as secured:
            if secured.recv(1024):
                secured.sendall(b"E" + struct.pack("!I", len(said) + 4) + said)
                secured.recv(1)
    except OSError:
        return


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("demo-instance1-23r5-0.demo-pods", "verified"),
        ("demo-gone-aaaa-0.demo-pods", "verified"),
        ("demo-gone-aaaa-0.demo-pods.databases", "verified"),
        ("demo-gone-aaaa-0.demo-pods.databases.svc.cluster.local", "verified"),
        ("demo-primary", "verified"),
        ("demo-gone-aaaa-0.other-pods", "does not match host name"),
        ("a.demo-gone-aaaa-0.demo-pods", "does not match host name"),
        ("demo-pods", "does not match host name"),
    ],
)
def test_every_member_that_is_there_is_verified_declared_or_not(
    port: int, host: str, said: str, tmp_path: Path
) -> None:
    options = {"sslmode": "verify-full", "sslrootcert": str(tmp_path / "ca.crt"), "gssencmode": "disable"}
    with pytest.raises(psycopg.OperationalError, match=said):
        psycopg.connect(host=host, hostaddr="127.0.0.1", port=port, user="x", connect_timeout=10, **options)
