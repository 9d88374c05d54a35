"""SCRAM-SHA-256 verifiers, made and compared here so that no clear password ever reaches PostgreSQL or its log.

Form and arithmetic: pg_authid.rolpassword, RFC 5802, RFC 7677; passwords are prepared as PostgreSQL and its clients
do it (SASLprep, RFC 4013; one that SASLprep forbids, or that is no text, counts byte by byte).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import stringprep
import unicodedata

ITERATIONS = 4096
DEAREST = 100_000
"""Iterations above which a foreign verifier is not compared with a password: it would cost too much time."""

_BASE64 = r"[A-Za-z0-9+/]+={0,2}"
_FORM = re.compile(rf"SCRAM-SHA-256\$([1-9]\d{{0,9}}):({_BASE64})\$({_BASE64}):({_BASE64})")
_MD5 = re.compile(r"md5[0-9a-f]{32}")
_SPACES, _NOTHING = stringprep.in_table_c12, stringprep.in_table_b1
_FORBIDDEN = (
    stringprep.in_table_c12, stringprep.in_table_c21_c22, stringprep.in_table_c3, stringprep.in_table_c4,
    stringprep.in_table_c5, stringprep.in_table_c6, stringprep.in_table_c7, stringprep.in_table_c8,
    stringprep.in_table_c9, stringprep.in_table_a1,
)  # fmt: skip


def is_verifier(text: str) -> bool:
    """Whether PostgreSQL takes the text as a password that is hashed already."""
    return bool(_FORM.fullmatch(text) or _MD5.fullmatch(text))


def verifier(password: str, salt: bytes | None = None, iterations: int = ITERATIONS) -> str:
    """`SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`."""
    salt = secrets.token_bytes(16) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", prepared(password), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${iterations}:{_text(salt)}${_text(stored)}:{_text(server)}"


def matches(user: str, password: str, stored: str) -> bool | None:
    """Whether the verifier is the password's; None when that cannot be said."""
    if _MD5.fullmatch(stored):
        return hmac.compare_digest(stored, "md5" + hashlib.md5((password + user).encode()).hexdigest())
    found = _FORM.fullmatch(stored)
    if found is None or int(found[1]) > DEAREST:
        return None
    try:
        salt = base64.b64decode(found[2], validate=True)
    except ValueError:
        return None
    return hmac.compare_digest(stored, verifier(password, salt, int(found[1])))


def prepared(password: str) -> bytes:
    """The password's bytes after SASLprep."""
    if password.isascii():
        return password.encode()
    mapped = "".join(" " if _SPACES(char) else char for char in password if not _NOTHING(char))
    text = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    return password.encode() if not text or _prohibited(text) else text.encode()


def _prohibited(text: str) -> bool:
    if any(forbidden(char) for char in text for forbidden in _FORBIDDEN):
        return True
    right = [stringprep.in_table_d1(char) for char in text]
    if not any(right):
        return False
    # RFC 3454, section 6: a text from right to left has no letter from left to right, and begins and ends so.
    return any(map(stringprep.in_table_d2, text)) or not (right[0] and right[-1])


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
