"""Parameters on which the members of a cluster depend on each other, as values. Pure.

A hot standby needs at least what its primary runs with: the primary writes its values into the WAL, replay copies them
into pg_control, and a standby with less stops replaying and cannot be promoted. So a standby starts with the larger of
what is configured and what pg_control says, and a primary does not start with more than its standbys run with.
https://www.postgresql.org/docs/current/hot-standby.html#HOT-STANDBY-ADMIN
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

LIMITS: dict[str, int] = {
    "max_connections": 100,
    "max_worker_processes": 8,
    "max_wal_senders": 10,
    "max_prepared_transactions": 0,
    "max_locks_per_transaction": 64,
}
"""A standby needs at least the primary's value; with the value that is used where nobody says anything."""
SAME = (*LIMITS, "wal_level", "track_commit_timestamp", "max_replication_slots", "wal_log_hints")
"""One value in the whole cluster: from the configuration only, never from ALTER SYSTEM on one member."""
RESERVED = {"superuser_reserved_connections": 3, "reserved_connections": 0}


class Change(msgspec.Struct, frozen=True):
    """A parameter that waits for a restart, in Patroni's words."""

    old_value: str
    """What the server runs with."""
    new_value: str
    """What is configured."""


def whole(value: Any) -> int | None:
    """A parameter's value as PostgreSQL reads an integer; None when it is none."""
    try:
        return int(value) if isinstance(value, (int, float)) else int(str(value).strip(), 0)
    except (TypeError, ValueError):
        return None


def lower(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Names as PostgreSQL compares them."""
    return {name.lower(): value for name, value in parameters.items()}


def at_least(parameters: Mapping[str, Any], floor: Mapping[str, int]) -> dict[str, Any]:
    """For a standby's start: nothing smaller than what its WAL demands (`floor`, of pg_control)."""
    raised = {
        name: needed
        for name, needed in floor.items()
        if name in LIMITS and (whole(parameters.get(name, LIMITS[name])) or 0) < needed
    }
    return {**parameters, **raised}


def held_back(parameters: Mapping[str, Any], standbys: Iterable[Mapping[str, int]]) -> dict[str, Any]:
    """For a primary's start: nothing larger than what every standby runs with, until they were restarted."""
    running, parameters = list(standbys), lower(parameters)
    lowered = {}
    for name, usual in LIMITS.items():
        ceiling = min((limits[name] for limits in running if name in limits), default=None)
        wanted = whole(parameters.get(name, usual))
        if ceiling is not None and wanted is not None and wanted > ceiling:
            lowered[name] = ceiling
    return {**parameters, **lowered}


def cramped(running: Mapping[str, int], needed: Mapping[str, int]) -> tuple[str, ...]:
    """What a standby must be restarted for: it runs with less than its WAL demands."""
    return tuple(
        f"{name} {running[name]} < {needed[name]}"
        for name in LIMITS
        if running.get(name, needed.get(name, 0)) < needed.get(name, 0)
    )


def impossible(parameters: Mapping[str, Any]) -> list[str]:
    """Combinations that PostgreSQL refuses only when it starts."""
    parameters = lower(parameters)
    connections = whole(parameters.get("max_connections", LIMITS["max_connections"]))
    reserved = sum(whole(parameters.get(name, usual)) or 0 for name, usual in RESERVED.items())
    if connections is None or connections > reserved:
        return []
    return [f"max_connections={connections}: must be more than the {reserved} of superuser_reserved_connections"]
