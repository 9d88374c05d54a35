# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Declared replication slots, and those that the agents leave alone. The agent refuses the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .checks import Problems

NAME = re.compile(r"[a-z0-9_]{1,63}")
_SLOT = ("type", "database", "plugin", "cluster_type")
_MATCHER = ("name", "type", "database", "plugin")
_TYPES = ("physical", "logical")


def slots(values: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """Keys `slots` and `ignore_slots` of the dynamic configuration."""
    declared = problems.mapping("postgres_slots", values["postgres_slots"])
    ignored = problems.sequence("postgres_ignore_slots", values["postgres_ignore_slots"])
    return {
        "slots": {str(name): _slot(name, slot, problems) for name, slot in declared.items()},
        "ignore_slots": [_matcher(index, entry, problems) for index, entry in enumerate(ignored)],
    }


def _slot(name: Any, value: Any, problems: Problems) -> dict[str, Any]:
    where = f"postgres_slots.{name}"
    problems.pattern("postgres_slots", name, NAME, "must be names of 1 to 63 characters a-z, 0-9 and _")
    found = problems.fields(where, value or {}, _SLOT)
    _texts(where, found, problems)
    kind = found.get("type") or ("logical" if found.get("database") or found.get("plugin") else "physical")
    problems.choice(f"{where}.type", kind, _TYPES)
    if "cluster_type" in found:
        problems.choice(f"{where}.cluster_type", found["cluster_type"], ("primary", "standby"))
    named = [field for field in ("database", "plugin") if found.get(field)]
    if kind == "logical" and len(named) < 2:
        problems.add(where, value, "a logical slot needs database and plugin")
    if kind == "physical" and named:
        problems.add(where, value, "a physical slot has neither database nor plugin")
    return {**found, "type": kind}


def _matcher(index: int, value: Any, problems: Problems) -> dict[str, Any]:
    where = f"postgres_ignore_slots[{index}]"
    found = problems.fields(where, value, _MATCHER)
    _texts(where, found, problems)
    if not any(found.values()):
        problems.add(where, value, f"must name at least one of {', '.join(_MATCHER)}")
    if "type" in found:
        problems.choice(f"{where}.type", found["type"], _TYPES)
    return found


def _texts(where: str, found: Mapping[str, Any], problems: Problems) -> None:
    for field, value in found.items():
        if not isinstance(value, str):
            problems.add(f"{where}.{field}", value, "must be a text")
