# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inputs of the roles that ask a running cluster for something: extra variables of one run, none of the declaration.

They are known here so that `declare`, which refuses what it does not know, lets them pass. A unit test compares them
with the roles' argument_specs.
"""

from __future__ import annotations

INPUTS = (
    "postgres_configuration_merge",
    "postgres_reinitialize_member",
    "postgres_request_id",
    "postgres_request_timeout",
    "postgres_restart_members",
    "postgres_restart_only_pending",
    "postgres_restart_role",
    "postgres_restart_scheduled",
    "postgres_switchover_accept_loss",
    "postgres_switchover_candidate",
    "postgres_switchover_force",
    "postgres_switchover_leader",
    "postgres_switchover_leader_is_dead",
    "postgres_switchover_scheduled",
)
