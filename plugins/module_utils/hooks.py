# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of the user that the agents run, as far as a declaration can get them wrong. The agent refuses the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .checks import Problems

CALLBACKS = ("on_start", "on_stop", "on_restart", "on_role_change", "on_reload")
SHORTEST, LONGEST = 1, 3600


def hooks(values: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """Keys of `postgresql`; only those that are given."""
    commands = problems.fields("postgres_callbacks", values["postgres_callbacks"], CALLBACKS)
    result: dict[str, Any] = {"callbacks": commands} if commands else {}
    result |= {
        each: values[f"postgres_{each}"] for each in ("pre_promote", "before_stop") if values[f"postgres_{each}"]
    }
    named = {f"callbacks.{name}": command for name, command in commands.items()} | result
    for name, command in named.items():
        if name != "callbacks" and not (isinstance(command, str) and command.startswith("/")):
            problems.add(f"postgres_{name}", command, "must be a command line that begins with an absolute path")
    return result


def hook_timeout(values: Mapping[str, Any], problems: Problems) -> float:
    name = "postgres_hook_timeout"
    seconds = problems.number(name, values[name])
    if not SHORTEST <= seconds <= LONGEST:
        problems.add(name, values[name], f"must be from {SHORTEST} to {LONGEST} seconds")
    return seconds
