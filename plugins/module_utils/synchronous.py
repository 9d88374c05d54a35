# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of synchronous replication, as far as a declaration can get them wrong; the agent refuses the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LEAST: Mapping[str, int] = {"synchronous_node_count": 1, "maximum_lag_on_syncnode": -1}


def synchronous_problem(configuration: Mapping[str, Any], prefix: str = "") -> str | None:
    """Why synchronous replication cannot be configured so; None when it can. `prefix` names the variables."""
    mode = configuration.get("synchronous_mode", False)
    if not isinstance(mode, bool) and mode not in ("on", "off", "quorum"):
        return f"{prefix}synchronous_mode={mode!r}: must be on, off or quorum"
    strict = configuration.get("synchronous_mode_strict", False)
    if not isinstance(strict, bool):
        return f"{prefix}synchronous_mode_strict={strict!r}: must be true or false"
    for name, least in LEAST.items():
        value = configuration.get(name, least)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            return f"{prefix}{name}={value!r}: must be a whole number of at least {least}"
    return None
