# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A database user's Secret, in PGO's form: generated once, kept, renewed by blanking a key."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from .difference import LATER
from .scram import new_password, verifier


def secret(user: Mapping[str, Any], live: Mapping[str, Any] | None, generate: bool) -> dict[str, Any]:
    """The Secret to apply.

    A blank or missing password is generated; a blank verifier is computed from the password; both set: used as
    they are. Without `generate` (check mode) a value that is not there yet stays `(known after apply)`.
    """
    found = {name: base64.b64decode(value).decode() for name, value in ((live or {}).get("data") or {}).items()}
    password, known = found.get("password", ""), found.get("verifier", "")
    if not password:
        password, known = (new_password() if generate else LATER), ""
    if not known:
        known = verifier(password) if generate else LATER
    values = {"password": password, "verifier": known, **_connection(user, password)}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": user["secret"], "namespace": user["namespace"], "labels": user["labels"]},
        # The type of a Secret never changes; somebody may have made it before us.
        "type": (live or {}).get("type") or "Opaque",
        "data": {name: value if value == LATER else _encoded(value) for name, value in sorted(values.items())},
    }


def _connection(user: Mapping[str, Any], password: str) -> dict[str, str]:
    name, host, port = user["name"], user["host"], user["port"]
    values = {"host": host, "port": str(port), "user": name}
    if not user["databases"]:
        return values
    database = user["databases"][0]
    if password == LATER:
        return {**values, "dbname": database, "uri": LATER, "jdbc-uri": LATER}
    address = f"{host}:{port}/{quote(database, safe='')}"
    credentials = urlencode({"password": password, "user": name}, quote_via=quote)
    return {
        **values,
        "dbname": database,
        "uri": f"postgresql://{quote(name, safe='')}:{quote(password, safe='')}@{address}",
        "jdbc-uri": f"jdbc:postgresql://{address}?{credentials}",
    }


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
