# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease's arithmetic, as far as a declaration can get it wrong. The agent refuses the same values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEFAULTS: Mapping[str, float] = {"ttl": 10, "loop_wait": 3, "retry_timeout": 3}
LONGEST = 86400.0
LEAST: Mapping[str, float] = {"ttl": 3, "loop_wait": 0.5, "retry_timeout": 0.5}


def margin(ttl: float) -> float:
    """Seconds before a lease's end at which its holder's PostgreSQL must be dead."""
    return max(1.0, ttl / 10)


def timing_problem(configuration: Mapping[str, Any], prefix: str = "") -> str | None:
    """Why the timing cannot work, naming value and bound; None when it can. `prefix` names the variables."""
    values = dict[str, float]()
    for name, least in LEAST.items():
        value = configuration.get(name, DEFAULTS[name])
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value < least:
            return f"{prefix}{name}={value!r}: must be a number of at least {least:g} seconds"
        values[name] = value
    ttl, loop_wait, retry_timeout = values["ttl"], values["loop_wait"], values["retry_timeout"]
    if ttl > LONGEST:
        return f"{prefix}ttl={ttl:g}: must be at most {LONGEST:g} seconds"
    promises = 1.0 if ttl >= 5 else 0.5
    needed = loop_wait + retry_timeout + promises + margin(ttl)
    if ttl < needed:
        return (
            f"{prefix}ttl={ttl:g}: must be at least {needed:g} = {prefix}loop_wait {loop_wait:g} "
            f"+ {prefix}retry_timeout {retry_timeout:g} + {promises:g} for promises + margin {margin(ttl):g}"
        )
    return None
