# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of a PostgresCluster that mean the same here in another form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .names import PGO_PREFIX

APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def inverted(value: Any) -> Any:
    return not value if isinstance(value, bool) else value


def user_annotations(value: Any) -> Any:
    """Without what kubectl keeps there for itself; PGO's own are requests, and checked elsewhere."""
    if not isinstance(value, Mapping):
        return value
    return {name: each for name, each in value.items() if name != APPLIED and not str(name).startswith(PGO_PREFIX)}


def standby(value: Any) -> Any:
    """Whom to follow; nothing of it once it is promoted (`enabled: false`)."""
    if not isinstance(value, Mapping):
        return value
    if value.get("enabled", True) is False:
        return {}
    return {name: each for name, each in value.items() if name != "enabled"}


def hba_lines(value: Any) -> Any:
    """Structured rules as lines of pg_hba.conf, in order; they match every address, as PGO's do."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return value
    return [_hba_line(each) for each in value]


def _hba_line(rule: Any) -> Any:
    if not isinstance(rule, Mapping):
        return rule
    if "hba" in rule:
        return rule["hba"]
    connection, method = str(rule.get("connection")), str(rule.get("method"))
    words = [connection, _names(rule.get("databases")), _names(rule.get("users"))]
    if connection != "local":
        words.append("all")
    words.append("scram-sha-256" if method == "password" else method)
    options = rule.get("options") or {}
    words += [f"{name}={_quoted(str(options[name]))}" for name in sorted(options)]
    return " ".join(words)


def _names(given: Any) -> str:
    """Quoted, so that `all` or `replication` is a database of that name."""
    return ",".join(_quoted(str(each)) for each in given) if given else "all"


def _quoted(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'
