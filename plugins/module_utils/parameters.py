# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL parameters that belong to the product: setting one of them would break a promise it makes."""

from __future__ import annotations

import re
from typing import Any

from .standby import command_problem

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_$]*(\.[a-zA-Z_][a-zA-Z0-9_$]*)?")
_OWNED = frozenset(
    {
        "archive_command", "archive_library", "archive_mode", "cluster_name", "config_file", "data_directory",
        "external_pid_file", "hba_file", "hot_standby", "ident_file", "listen_addresses", "log_file_mode",
        "logging_collector", "password_encryption", "port", "primary_conninfo", "primary_slot_name",
        "promote_trigger_file", "recovery_min_apply_delay", "ssl", "synchronous_standby_names",
        "unix_socket_directories", "unix_socket_group", "unix_socket_permissions", "wal_log_hints",
    }
)  # fmt: skip
_OWNED_PREFIXES = ("recovery_target", "ssl_")
_FREE = frozenset({"ssl_ecdh_curve", "ssl_groups", "ssl_ciphers", "ssl_min_protocol_version"})


def parameter_problem(name: str, value: Any) -> str | None:
    """Why this parameter cannot be set; None when it can."""
    lower = name.lower()
    if not _NAME.fullmatch(name):
        return "is not the name of a PostgreSQL parameter"
    if lower == "wal_level" and value != "logical":
        return "wal_level is always logical"
    if lower in _OWNED or (lower.startswith(_OWNED_PREFIXES) and lower not in _FREE):
        return "pgherd sets this parameter itself; remove it"
    if lower == "restore_command":
        return command_problem(value)
    if isinstance(value, (dict, list)) or value is None:
        return "must be a number, a text or true/false"
    return None
