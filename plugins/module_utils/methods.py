# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that make a data directory: clone methods and the bootstrap method. The agents refuse the same values.

In the inventory a method is one entry with its name; the agents read Patroni's shape, a section of that name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .checks import Problems

NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
KEY = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")
SECRET = re.compile(r"passw|passphrase|secret|token|credential|private", re.IGNORECASE)
TAKEN = ("parameters", "pg_hba", "pg_ident", "use_pg_rewind", "use_slots", "callbacks", "pre_promote", "before_stop",
         "create_replica_methods", "basebackup", "initdb", "method")  # fmt: skip
_RESERVED = ("command", "keep_data", "no_params", "no_leader", "keep_existing_recovery_conf", "recovery_conf",
             "time_limit")  # fmt: skip
LONGEST = 7 * 86400


def clone_methods(values: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """Keys of `postgresql`; none without a method."""
    variable = "postgres_clone_methods"
    names, sections = list[str](), dict[str, Any]()
    for index, entry in enumerate(problems.sequence(variable, values[variable])):
        where = f"{variable}[{index}]"
        name = entry.get("name") if isinstance(entry, Mapping) else None
        known = ("name",) if name == "basebackup" else ("name", "command", "keep_data", "no_params", "time_limit",
                                                        "arguments")  # fmt: skip
        fields = problems.fields(where, entry, known)
        if name in names:
            problems.add(f"{where}.name", name, "is there twice; each method can be there once")
        names.append(str(name))
        if name != "basebackup":
            sections[str(name)] = _section(where, fields, problems)
    return {"create_replica_methods": names, **sections} if names else {}


def bootstrap(values: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """The static settings' `bootstrap`; empty for initdb."""
    variable = "postgres_bootstrap_method"
    known = ("name", "command", "no_params", "time_limit", "arguments")
    fields = problems.fields(variable, values[variable], known)
    if not fields:
        return {}
    return {"method": str(fields.get("name")), str(fields.get("name")): _section(variable, fields, problems)}


def _section(where: str, fields: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    name, command = fields.get("name"), fields.get("command")
    if not isinstance(name, str) or not NAME.fullmatch(name) or name in TAKEN:
        allowed = f"must be a name of a-z, 0-9, _ and -, a letter first, and none of {', '.join(TAKEN)}"
        problems.add(f"{where}.name", name, allowed)
    if not isinstance(command, str) or not command.startswith("/"):
        problems.add(f"{where}.command", command, "must be a command line that begins with an absolute path")
    section: dict[str, Any] = {"command": command}
    for each in ("keep_data", "no_params"):
        if problems.boolean(f"{where}.{each}", fields.get(each, False)):
            section[each] = True
    if "time_limit" in fields:
        section["time_limit"] = problems.integer(f"{where}.time_limit", fields["time_limit"], 1, LONGEST)
    for key, value in problems.mapping(f"{where}.arguments", fields.get("arguments", {})).items():
        refusal = _argument(key, value)
        if refusal:
            problems.add(f"{where}.arguments.{key}", value, refusal)
        section[str(key)] = value
    return section


def _argument(key: Any, value: Any) -> str | None:
    """Why it cannot be an argument --key=value; None when it can."""
    if not isinstance(key, str) or not KEY.fullmatch(key) or key in _RESERVED:
        return f"the name must be letters, digits, _ and -, a letter first, and none of {', '.join(_RESERVED)}"
    if SECRET.search(key):
        return "would be seen in the process list; let the program read it from a file or a variable"
    if not isinstance(value, (str, int, float, bool)):
        return "must be a text, a number, true or false"
    return None
