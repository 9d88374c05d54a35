# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tags of the members: checked before anything changes, as the agents check them when they start."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .checks import Problems

SWITCHES = ("nofailover", "noloadbalance", "clonefrom", "nosync", "nostream")
RANKS = ("failover_priority", "sync_priority")
MOST = 1000
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}")


def tags_of_set(where: str, given: Any, problems: Problems) -> dict[str, Any]:
    """The tags of one entry of postgres_instances; `replicatefrom` is checked when all members are known."""
    tags = dict[str, Any]()
    for name, value in problems.mapping(f"{where}.tags", given).items():
        field = f"{where}.tags.{name}"
        if name in SWITCHES:
            tags[name] = problems.boolean(field, value)
        elif name in RANKS:
            tags[name] = problems.integer(field, value, 0, MOST)
        elif not isinstance(name, str) or not _NAME.fullmatch(name):
            problems.add(field, value, "the name must be letters, digits, _, . and -, a letter first")
        elif not isinstance(value, (str, int, float, bool)):
            problems.add(field, value, "must be a text, a number, true or false")
        else:
            tags[name] = value
    if tags.get("nostream"):
        problems.add(f"{where}.tags.nostream", True, "needs an archive to recover from, which this version has not")
    return tags


def check_tags(sets: Sequence[Mapping[str, Any]], problems: Problems) -> None:
    """What needs all members: whom they stream from, and that somebody may lead. Nobody streams from itself."""
    members = [member for each in sets for member in each["members"]]
    pods = [member["pod"] for member in members]
    for index, each in enumerate(sets):
        wanted = {member["tags"]["replicatefrom"] for member in each["members"] if "replicatefrom" in member["tags"]}
        for pod in wanted - set(pods):
            field = f"postgres_instances[{index}].tags.replicatefrom"
            problems.add(field, pod, f"must be one of the members {', '.join(pods)}")
    for member in members:
        if member["tags"].get("replicatefrom") == member["pod"]:
            del member["tags"]["replicatefrom"]
    if members and all(never_leads(member["tags"]) for member in members):
        problems.texts.append(
            "postgres_instances: no member may lead; one set must be without nofailover and priority 0"
        )


def never_leads(tags: Mapping[str, Any]) -> bool:
    return bool(tags.get("nofailover")) or tags.get("failover_priority") == 0
