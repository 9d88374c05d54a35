# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an inventory says of rollouts: whether there are any, how much they may disturb, and whether it is shut down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .checks import Problems
from .rollout_foreseen import KINDS

DEFAULTS: Mapping[str, Any] = {
    "postgres_disruption_budget": {},
    "postgres_rollout": True,
    "postgres_shutdown": False,
}
FIELDS = ("seconds", "kinds")


def rollout(values: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """The cluster's keys `rollout`, `shutdown` and `budget`."""
    name = "postgres_disruption_budget"
    budget = problems.fields(name, values[name], FIELDS)
    if "seconds" in budget:
        seconds = problems.number(f"{name}.seconds", budget["seconds"])
        if seconds < 0:
            problems.add(f"{name}.seconds", budget["seconds"], "must be 0 or more seconds without writes")
        budget["seconds"] = seconds
    if "kinds" in budget:
        for each in problems.sequence(f"{name}.kinds", budget["kinds"]):
            problems.choice(f"{name}.kinds", each, KINDS)
    return {
        "rollout": problems.boolean("postgres_rollout", values["postgres_rollout"]),
        "shutdown": problems.boolean("postgres_shutdown", values["postgres_shutdown"]),
        "budget": budget,
    }
