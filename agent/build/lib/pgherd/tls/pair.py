"""A folder with tls.crt, tls.key and ca.crt: whether its files belong together, and what they say.

The proof is a TLS handshake of the pair with itself, in memory. It fails exactly where a peer would fail: a key of
another certificate, a chain that does not end at ca.crt, a wrong usage, a date that has passed. Names are not
looked at: they are the peer's to compare with what it dialled, and the play's to issue.
"""

from __future__ import annotations

import enum
import hashlib
import re
import ssl
from pathlib import Path

from pgherd.model.certificate import CertificateState

FILES = ("tls.crt", "tls.key", "ca.crt")
Signature = tuple[tuple[int, int, int] | None, ...]
_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_ROUNDS = 8
"""More than a handshake of two sides takes."""


class Usage(enum.Flag):
    """Who presents the certificate."""

    SERVER = enum.auto()
    CLIENT = enum.auto()


class Unusable(Exception):
    """These files cannot be used; the text says which and why."""


def signature(folder: Path) -> Signature:
    """Changes whenever one of the files does. Never raises."""
    return tuple(_stat(folder / name) for name in FILES)


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def read(folder: Path) -> dict[str, bytes]:
    """The three files by name. Raises Unusable when one is missing."""
    try:
        return {name: (folder / name).read_bytes() for name in FILES}
    except OSError as error:
        raise Unusable(f"{error.filename}: {error.strerror}") from None


def fingerprints(pem: bytes) -> tuple[str, ...]:
    """Of every certificate in the text, in its order. Raises ValueError when one is no certificate."""
    blocks = (ssl.PEM_cert_to_DER_cert(block.decode("ascii")) for block in _BLOCK.findall(pem))
    return tuple(hashlib.sha256(block).hexdigest() for block in blocks)


def load(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Contexts of the server's and of the client's side. Raises Unusable."""
    sides = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    sides[1].check_hostname = False
    for context in sides:
        try:
            # A key behind a passphrase is refused instead of asked for.
            context.load_cert_chain(folder / "tls.crt", folder / "tls.key", password="")
        except (OSError, ssl.SSLError) as error:
            mismatch = "do not belong together" if "MISMATCH" in str(error) else f"cannot be loaded: {error}"
            raise Unusable(f"tls.crt and tls.key {mismatch}") from None
        try:
            context.load_verify_locations(folder / "ca.crt")
        except (OSError, ssl.SSLError) as error:
            raise Unusable(f"ca.crt cannot be loaded: {error}") from None
    return sides


def prove(folder: Path, usage: Usage) -> int:
    """When the certificate expires, in seconds since 1970. Raises Unusable when a peer would not accept it."""
    server, client = load(folder)
    server.verify_mode = ssl.CERT_REQUIRED if Usage.CLIENT in usage else ssl.CERT_NONE
    client.verify_mode = ssl.CERT_REQUIRED if Usage.SERVER in usage else ssl.CERT_NONE
    try:
        for side in _handshake(server, client):
            if seen := side.getpeercert():
                return ssl.cert_time_to_seconds(str(seen["notAfter"]))
    except ssl.SSLCertVerificationError as error:
        raise Unusable(f"tls.crt does not verify against ca.crt: {error.verify_message}") from None
    except ssl.SSLError as error:
        raise Unusable(f"tls.crt cannot be used: {error.reason or error}") from None
    raise Unusable("tls.crt was not presented in a handshake with itself")


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends of a finished handshake in memory. Raises ssl.SSLError."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True)
    for _ in range(_ROUNDS):
        waits = False
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                waits = True
        if not waits:
            return sides
    raise ssl.SSLError("the handshake does not end")


def facts(folder: Path, usage: Usage) -> CertificateState:
    """What a folder in use says of itself; an empty state when there is none."""
    try:
        files = read(folder)
        served, trusted = fingerprints(files["tls.crt"]), fingerprints(files["ca.crt"])
    except (Unusable, ValueError) as error:
        return CertificateState(refused=str(error))
    try:
        expires, why = prove(folder, usage), ""
    except Unusable as error:
        expires, why = None, str(error)
    return CertificateState(served[0] if served else "", trusted, expires, why)
