"""Tags: what a member is not to do, or is preferred for. Names and meaning are Patroni's; docs/tags.md has the table.

Static: they come with the settings file and change with the pod. Published as text (`GET /member`, REST `?tag_NAME=`),
so the functions below read a member's own tags and another's words alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Tags = Mapping[str, str]

SWITCHES = ("nofailover", "noloadbalance", "clonefrom", "nosync", "nostream")
RANKS = ("failover_priority", "sync_priority")
MEMBER = "replicatefrom"
ALLOWED = {
    **dict.fromkeys(SWITCHES, "true or false"),
    **dict.fromkeys(RANKS, "a whole number from 0 to 1000"),
    MEMBER: "the name of another declared member",
}
MOST = 1000
DEFAULT_PRIORITY = 1


def problem(name: str, value: Any, member: str, members: Sequence[str]) -> str | None:
    """Why a tag cannot work, as what is allowed; None when it can."""
    if name in SWITCHES and not isinstance(value, bool):
        return f"must be {ALLOWED[name]}"
    if name == "nostream" and value:
        return "needs an archive to recover from, which this version has not: remove it"
    if name in RANKS and (not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST):
        return f"must be {ALLOWED[name]}"
    if name == MEMBER and (value not in members or value == member):
        others = ", ".join(each for each in members if each != member) or "there is none"
        return f"must be {ALLOWED[name]}: {others}"
    if not isinstance(value, (str, int, float, bool)):
        return "must be a text, a number, true or false"
    return None


def published(given: Mapping[str, Any]) -> dict[str, str]:
    """As the member says them. A switch that is off is not there."""
    return {name: _text(value) for name, value in given.items() if not (name in SWITCHES and value is False)}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def priority(tags: Tags) -> int:
    """Of equal candidates the greater one is elected."""
    try:
        return int(tags.get("failover_priority", DEFAULT_PRIORITY))
    except ValueError:
        return DEFAULT_PRIORITY


def never_leads(tags: Tags) -> bool:
    """`nofailover` counts, whatever the priority; a priority of 0 says the same."""
    return on(tags, "nofailover") or priority(tags) == 0


def on(tags: Tags, name: str) -> bool:
    return tags.get(name, "") == "true"


def upstream(tags: Tags) -> str | None:
    """The member that it is to stream from instead of the leader."""
    return tags.get(MEMBER)
