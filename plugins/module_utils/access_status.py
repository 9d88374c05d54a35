# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the primary's agent says of declared users and databases, and whether it speaks of what is declared now.

The agent's word is annotation `status` of ConfigMap `<cluster>-users`; it names the revision of the declaration and the
version of each Secret that it went by.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .client import Api, ApiError
from .names import path

FINE = ("applied", "absent", "verifier-differs")
# What the agent goes on with by itself, or waits for; anything else needs a person.
PASSING = ("trying", "secret-missing", "secret-blank")


@dataclass(frozen=True)
class Word:
    """Sentences about what is not as declared: `waiting` will change by itself, `refused` will not."""

    waiting: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


def revision(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def look(api: Api, namespace: str, name: str) -> Word:
    """About the users and databases that ConfigMap `name` declares; nothing where there is no such object."""
    found = _get(api, path("ConfigMap", namespace, name))
    text = ((found or {}).get("data") or {}).get("users")
    if found is None or not text:
        return Word()
    status = _read((found["metadata"].get("annotations") or {}).get("status"))
    if status.get("revision") != revision(text):
        return Word(waiting=("the primary's agent has not taken up the declared users and databases yet",))
    if status.get("trouble"):
        return Word(refused=(f"users and databases: {status['trouble']}",))
    word = _judged(status)
    stale = list[str]()
    for user in _read(text).get("users") or ():
        said = (status.get("users") or {}).get(user["name"]) or {}
        if user.get("secret") and said.get("code") in FINE:
            secret = _get(api, path("Secret", namespace, user["secret"]))
            if secret is not None and secret["metadata"].get("resourceVersion") != said.get("secret"):
                stale.append(f"user {user['name']}: its Secret has changed and is not applied yet")
    return Word((*word.waiting, *stale), word.refused)


def _judged(status: Mapping[str, Any]) -> Word:
    waiting, refused = list[str](), list[str]()
    for kind in ("user", "database"):
        for name, said in sorted((status.get(f"{kind}s") or {}).items()):
            code = said.get("code")
            if code not in FINE:
                (waiting if code in PASSING else refused).append(f"{kind} {name}: {said.get('text') or code} ({code})")
    return Word(tuple(waiting), tuple(refused))


def _read(text: str | None) -> dict[str, Any]:
    """Nothing where an older agent, or somebody else, wrote something that cannot be read."""
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _get(api: Api, where: str) -> dict[str, Any] | None:
    """Without the right to look, which who merely looks need not have, there is nothing to say."""
    try:
        return api.request("GET", where)
    except ApiError as error:
        if error.status in (403, 404):
            return None
        raise
