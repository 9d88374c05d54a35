# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A standby cluster: whom it follows, checked before anything changes, as the agents check it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .checks import Problems

FIELDS = (
    "host", "port", "primary_slot_name", "restore_command", "archive_cleanup_command", "recovery_min_apply_delay",
    "create_replica_methods", "sslmode",
)  # fmt: skip
METHODS = ("basebackup",)
MODES = ("verify-full", "verify-ca")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?(,[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?)*")
_SLOT = re.compile(r"[a-z0-9_]{1,63}")
_DELAY = re.compile(r"\d+ ?(us|ms|s|min|h|d)?")


def standby_cluster(given: Any, problems: Problems) -> dict[str, Any]:
    """`standby_cluster` of the dynamic configuration, from postgres_standby; nothing of it for an ordinary cluster."""
    where = "postgres_standby"
    if given is None or given == {}:
        return {}
    fields = {name: value for name, value in problems.fields(where, given, FIELDS).items() if value not in (None, "")}
    if "port" in fields:
        fields["port"] = problems.integer(f"{where}.port", fields["port"], 1, 65535)
    for name, pattern, allowed in (
        ("host", _HOST, "must be a DNS name or an IP address, several with commas between them"),
        ("primary_slot_name", _SLOT, "must be 1 to 63 of a-z, 0-9 and _"),
    ):
        if name in fields:
            problems.pattern(f"{where}.{name}", fields[name], pattern, allowed)
    if "recovery_min_apply_delay" in fields and not _DELAY.fullmatch(str(fields["recovery_min_apply_delay"])):
        allowed = "must be a number, perhaps with us, ms, s, min, h or d"
        problems.add(f"{where}.recovery_min_apply_delay", fields["recovery_min_apply_delay"], allowed)
    _commands(where, fields, problems)
    for method in problems.sequence(f"{where}.create_replica_methods", fields.get("create_replica_methods", [])):
        problems.choice(f"{where}.create_replica_methods", method, METHODS)
    if "sslmode" in fields:
        problems.choice(f"{where}.sslmode", fields["sslmode"], MODES)
    if "host" not in fields and "restore_command" not in fields:
        problems.add(where, given, "needs host or restore_command, or there is nothing to follow")
    if "primary_slot_name" in fields and "host" not in fields:
        problems.add(f"{where}.primary_slot_name", fields["primary_slot_name"], "needs host")
    return {"standby_cluster": fields}


def _commands(where: str, fields: Mapping[str, Any], problems: Problems) -> None:
    for name, needed in (("restore_command", ("%f", "%p")), ("archive_cleanup_command", ())):
        if name in fields and (why := command_problem(fields[name], needed)) is not None:
            problems.add(f"{where}.{name}", fields[name], why)


def command_problem(command: Any, needed: tuple[str, ...] = ("%f", "%p")) -> str | None:
    """Why this cannot be a shell command of recovery; None when it can."""
    if not isinstance(command, str) or "\n" in command or "\0" in command:
        return "must be one line"
    missing = [word for word in needed if word not in command]
    return f"must contain {' and '.join(needed)}" if missing else None
