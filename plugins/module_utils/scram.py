# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SCRAM-SHA-256 verifiers, made outside PostgreSQL so that no clear password ever reaches the server or its log.

Form and arithmetic: PostgreSQL's pg_authid.rolpassword, RFC 5802 and RFC 7677.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import stringprep
import unicodedata

ITERATIONS = 4096
LENGTH = 24
# Printable ASCII without what a shell, a URI, a .pgpass file or a connection string would want quoted.
ALPHABETS = {
    "ASCII": "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789*+-.,;<=>^_~()[]{}|",
    "AlphaNumeric": "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
}
PASSWORD_TYPES = tuple(ALPHABETS)


_FORBIDDEN = (
    stringprep.in_table_c12, stringprep.in_table_c21_c22, stringprep.in_table_c3, stringprep.in_table_c4,
    stringprep.in_table_c5, stringprep.in_table_c6, stringprep.in_table_c7, stringprep.in_table_c8,
    stringprep.in_table_c9, stringprep.in_table_a1,
)  # fmt: skip


def new_password(kind: str = "ASCII", length: int = LENGTH) -> str:
    return "".join(secrets.choice(ALPHABETS[kind]) for dummy in range(length))


def verifier(password: str, salt: bytes | None = None, iterations: int = ITERATIONS) -> str:
    """`SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`."""
    salt = secrets.token_bytes(16) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", prepared(password), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${iterations}:{_text(salt)}${_text(stored)}:{_text(server)}"


def prepared(password: str) -> bytes:
    """The password's bytes after SASLprep (RFC 4013), as PostgreSQL and its clients take them; one that SASLprep
    forbids counts as it is."""
    if password.isascii():
        return password.encode()
    spaced = "".join(" " if stringprep.in_table_c12(char) else char for char in password)
    mapped = "".join(char for char in spaced if not stringprep.in_table_b1(char))
    text = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    return (password if not text or _prohibited(text) else text).encode()


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
