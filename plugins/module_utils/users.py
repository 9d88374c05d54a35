# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A database user's Secret, in PGO's form: generated once, kept, renewed by blanking a key."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from .apply import Refused
from .difference import LATER
from .names import FIELD_MANAGER
from .scram import new_password, verifier


def secret(user: Mapping[str, Any], live: Mapping[str, Any] | None, generate: bool) -> dict[str, Any]:
    """The Secret to apply. Raises Refused for values that are no text.

    A blank or missing password is generated; a blank verifier is computed from the password; both set: used as they
    are. A verifier that somebody brought along without a password is kept, and so is that its password is unknown,
    until somebody blanks or sets the password. Without `generate` (check mode) a value that is not there yet stays
    `(known after apply)`.
    """
    found = _found(user, live)
    password, known = found.get("password", ""), found.get("verifier", "")
    annotations = {}
    if known and "password" not in found and _brought_along(user, live):
        annotations = {user["unknown_password"]: "unknown"}
    elif not password:
        password, known = (new_password(user["password_type"]) if generate else LATER), ""
    if not known:
        known = verifier(password) if generate else LATER
    values = {**({"password": password} if password else {}), "verifier": known, **_connection(user, password)}
    metadata = {"name": user["secret"], "namespace": user["namespace"], "labels": user["labels"]}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {**metadata, **({"annotations": annotations} if annotations else {})},
        # The type of a Secret never changes; somebody may have made it before us.
        "type": (live or {}).get("type") or "Opaque",
        "data": {name: value if value == LATER else _encoded(value) for name, value in sorted(values.items())},
    }


def _found(user: Mapping[str, Any], live: Mapping[str, Any] | None) -> dict[str, str]:
    """Password and verifier that are there; whatever else somebody keeps in the Secret is theirs."""
    data = (live or {}).get("data") or {}
    try:
        return {name: base64.b64decode(data[name]).decode() for name in ("password", "verifier") if name in data}
    except ValueError:
        raise Refused(
            f"Secret {user['secret']} in namespace {user['namespace']}: password and verifier must be UTF-8 text. "
            "Nothing was changed."
        ) from None


def _brought_along(user: Mapping[str, Any], live: Mapping[str, Any] | None) -> bool:
    """Whether the Secret never had a password of ours: somebody made it, or it is noted so since then."""
    metadata = (live or {}).get("metadata") or {}
    noted = (metadata.get("annotations") or {}).get(user["unknown_password"]) == "unknown"
    return noted or FIELD_MANAGER not in {each.get("manager") for each in metadata.get("managedFields") or ()}


def _connection(user: Mapping[str, Any], password: str) -> dict[str, str]:
    """Where and as whom to connect; the pooler's keys have PGO's prefix."""
    values = {"user": user["name"], **_way(user, user, password)}
    if user["pooler"]:
        pooled = _way(user["pooler"], user, password, {"prepareThreshold": "0"})
        values.update({f"pgbouncer-{name}": value for name, value in pooled.items() if name != "dbname"})
    return values


def _way(
    to: Mapping[str, Any], user: Mapping[str, Any], password: str, more: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Host and port of `to`, and URIs to the user's first database; `more` is for JDBC."""
    name, host, port = user["name"], to["host"], to["port"]
    values = {"host": host, "port": str(port)}
    if not user["databases"]:
        return values
    database = user["databases"][0]
    if password == LATER:
        return {**values, "dbname": database, "uri": LATER, "jdbc-uri": LATER}
    address = f"{host}:{port}/{quote(database, safe='')}"
    secret = f":{quote(password, safe='')}" if password else ""
    words = {**({"password": password} if password else {}), **(more or {}), "user": name}
    return {
        **values,
        "dbname": database,
        "uri": f"postgresql://{quote(name, safe='')}{secret}@{address}",
        "jdbc-uri": f"jdbc:postgresql://{address}?{urlencode(words, quote_via=quote)}",
    }


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
