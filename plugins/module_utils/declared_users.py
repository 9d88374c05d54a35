# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users and their databases as the inventory declares them; the Secrets that come of it are in `users`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .checks import Problems
from .names import DNS_LABEL, NAME_RULE

_USER_OPTIONS = re.compile(r";|--|/\*|\bpassword\b", re.IGNORECASE)
_RESERVED_USERS = ("pg_", "pgherd_")


def users(values: Mapping[str, Any], cluster: Mapping[str, Any], problems: Problems) -> list[dict[str, Any]]:
    name = cluster["name"]
    given = values.get("postgres_users")
    if given is None and not DNS_LABEL.fullmatch(name):
        return []
    given = [{"name": name, "databases": [name]}] if given is None else problems.sequence("postgres_users", given)
    declared, seen = list[dict[str, Any]](), set[str]()
    for index, entry in enumerate(given):
        where = f"postgres_users[{index}]"
        fields = {"name": None, **problems.fields(where, entry, ("name", "databases", "options"))}
        user = problems.pattern(f"{where}.name", fields["name"], DNS_LABEL, NAME_RULE)
        if user in seen:
            problems.add(f"{where}.name", user, "is there twice")
        if user.startswith(_RESERVED_USERS):
            problems.add(f"{where}.name", user, f"names that begin with {' or '.join(_RESERVED_USERS)} are reserved")
        seen.add(user)
        databases = problems.sequence(f"{where}.databases", fields.get("databases", []))
        for database in databases:
            if not isinstance(database, str) or not 0 < len(database.encode()) <= 63:
                problems.add(f"{where}.databases", database, "must be names of 1 to 63 bytes")
        options = fields.get("options", "")
        if not isinstance(options, str) or len(options) > 200 or _USER_OPTIONS.search(options):
            problems.add(f"{where}.options", options, "must be role options without PASSWORD, comments and ;")
        declared.append(
            {"name": user, "databases": databases, "options": options, "secret": f"{name}-pguser-{user}",
             "namespace": cluster["namespace"], "host": f"{name}-primary.{cluster['namespace']}.svc",
             "port": cluster["port"],
             "labels": {**cluster["labels"], f"{cluster['prefix']}role": "pguser", f"{cluster['prefix']}pguser": user}}
        )  # fmt: skip
    return declared
