# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The `options` of a declared user, understood as the agents do, so that a mistake is found before anything changes.

A unit test holds this grammar and that of the agents together.
"""

from __future__ import annotations

import re

FLAGS = ("SUPERUSER", "CREATEDB", "CREATEROLE", "INHERIT", "LOGIN", "REPLICATION", "BYPASSRLS")
LONGEST = 200
ALLOWED = f"[NO]{', [NO]'.join(FLAGS)}, CONNECTION LIMIT n, VALID UNTIL 'time'"

_OPTION = re.compile(
    rf"(?P<flag>(?:NO)?(?:{'|'.join(FLAGS)}))(?![A-Za-z])"
    r"|CONNECTION\s+LIMIT\s+(?P<limit>-?[0-9]+)(?![0-9])"
    r"|VALID\s+UNTIL\s+'(?P<time>[^'\\]+)'",
    re.IGNORECASE,
)
_WORD = re.compile(r"[A-Za-z_]+|-?[0-9]+|.")


def options_problem(text: object) -> str | None:
    """What is wrong with the options; None when they can be used."""
    if not isinstance(text, str):
        return "must be a text"
    if len(text) > LONGEST:
        return f"has {len(text)} characters; {LONGEST} are allowed"
    at = 0
    while rest := text[at:].lstrip():
        at = len(text) - len(rest)
        found = _OPTION.match(text, at)
        if found is None:
            word = _WORD.match(text, at)
            # Never what follows: after PASSWORD it would be one.
            return f"must be role options: {word[0] if word else ''!r} is not understood; allowed are {ALLOWED}"
        if found["limit"] and not -1 <= int(found["limit"]) <= 999_999_999:
            return "must be role options: CONNECTION LIMIT takes a number, -1 for no limit"
        at = found.end()
    return None
