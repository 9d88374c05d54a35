# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dynamic configuration that the variables add up to; the agents obey it once it is written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .checks import Problems
from .hooks import hook_timeout, hooks
from .methods import clone_methods
from .parameters import parameter_problem
from .replication_slots import slots
from .standby import standby_cluster
from .synchronous import synchronous_problem
from .timing import timing_problem


def dynamic_configuration(values: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """The dynamic configuration in Patroni's shape."""
    numbers = ("ttl", "loop_wait", "retry_timeout", "early_takeover_delay", "primary_start_timeout",
               "primary_stop_timeout", "member_slots_ttl")  # fmt: skip
    result: dict[str, Any] = {each: problems.number(f"postgres_{each}", values[f"postgres_{each}"]) for each in numbers}
    for each in numbers[3:]:
        if result[each] < 0:
            problems.add(f"postgres_{each}", values[f"postgres_{each}"], "must be 0 or more seconds")
    lag = "postgres_maximum_lag_on_failover"
    result["maximum_lag_on_failover"] = problems.integer(lag, values[lag], 0, 2**63 - 1)
    problem = timing_problem(result, "postgres_")
    if problem and not any(
        text.startswith(tuple(f"postgres_{each}=" for each in numbers[:3])) for text in problems.texts
    ):
        problems.texts.append(problem)
    for each in ("synchronous_mode", "synchronous_mode_strict", "synchronous_node_count", "maximum_lag_on_syncnode"):
        result[each] = values[f"postgres_{each}"]
    problem = synchronous_problem(result, "postgres_")
    if problem:
        problems.texts.append(problem)
    reclone = "postgres_allow_data_loss_reclone"
    result["allow_data_loss_reclone"] = problems.boolean(reclone, values[reclone])
    failsafe = "postgres_failsafe_mode"
    result["failsafe_mode"] = problems.boolean(failsafe, values[failsafe])
    parameters = problems.mapping("postgres_parameters", values["postgres_parameters"])
    for name, value in parameters.items():
        refusal = parameter_problem(name, value)
        if refusal:
            problems.add(f"postgres_parameters.{name}", value, refusal)
    result["hook_timeout"] = hook_timeout(values, problems)
    result |= slots(values, problems)
    result |= standby_cluster(values["postgres_standby"], problems)
    rules = {each: problems.sequence(f"postgres_{each}", values[f"postgres_{each}"]) for each in ("pg_hba", "pg_ident")}
    for each, lines in rules.items():
        for line in lines:
            if not isinstance(line, str) or "\n" in line or re.match(r"\s*(@|include)", line):
                problems.add(f"postgres_{each}", line, f"must be lines of {each}.conf without include")
    result["postgresql"] = {
        "parameters": parameters,
        **rules,
        "use_slots": problems.boolean("postgres_use_slots", values["postgres_use_slots"]),
        "use_pg_rewind": problems.boolean("postgres_use_pg_rewind", values["postgres_use_pg_rewind"]),
        **hooks(values, problems),
        **clone_methods(values, problems),
    }
    return result
