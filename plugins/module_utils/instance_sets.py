# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of members with the same shape, and the names of their members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .checks import Problems
from .names import DNS_LABEL, LONGEST_CLUSTER_AND_SET, LONGEST_MEMBER, NAME_RULE, member_names
from .object_metadata import both
from .scheduling import FIELDS as SCHEDULING
from .scheduling import scheduling
from .sidecars import sidecars
from .tags import check_tags, tags_of_set
from .volumes import FIELDS as VOLUMES
from .volumes import claims, mounts, places, volumes_of_set

FIELDS = (
    "name", "replicas", "members", "tags", "resources", "labels", "annotations", "sidecars", *SCHEDULING, *VOLUMES,
)  # fmt: skip


def instance_sets(values: Mapping[str, Any], cluster: Mapping[str, Any], problems: Problems) -> list[dict[str, Any]]:
    given = problems.sequence("postgres_instances", values["postgres_instances"])
    if not given:
        problems.add("postgres_instances", given, "must have at least one entry")
    sets, names, taken = list[dict[str, Any]](), set[str](), set[str]()
    for index, entry in enumerate(given):
        where = f"postgres_instances[{index}]"
        fields = {"replicas": 1, "name": None, **problems.fields(where, entry, FIELDS)}
        name = _name(fields["name"], where, cluster["name"], names, problems)
        names.add(name)
        replicas = problems.integer(f"{where}.replicas", fields["replicas"], 1, 100)
        members = _members(fields, where, cluster["name"], name, replicas, taken, problems)
        taken.update(members)
        tags = tags_of_set(where, fields.get("tags") or {}, problems)
        shape = _shape(fields, where, cluster, replicas, problems)
        sets.append(
            {"name": name, "replicas": replicas, "min_available": shape["min_available"],
             "labels": shape["labels"], "annotations": shape["annotations"],
             "members": [{"name": each, "pod": f"{each}-0", "set": name, "tags": dict(tags), **shape,
                          "claims": claims(each, shape), "places": places(shape, cluster["version"]),
                          "mounts": mounts(shape)} for each in members]}
        )  # fmt: skip
    check_tags(sets, problems)
    _check_tablespaces(sets, problems)
    return sets


def _check_tablespaces(sets: Sequence[Mapping[str, Any]], problems: Problems) -> None:
    """A member without the volume could not follow a CREATE TABLESPACE there."""
    named = [[each["name"] for each in given["members"][0]["tablespaces"]] for given in sets if given["members"]]
    everything = sorted({name for names in named for name in names})
    for index, names in enumerate(named):
        if sorted(names) != everything:
            allowed = f"must be {', '.join(everything)}: every set needs the tablespaces that others have"
            problems.add(f"postgres_instances[{index}].tablespaces", names, allowed)


def _name(given: Any, where: str, cluster: str, names: set[str], problems: Problems) -> str:
    name = problems.pattern(f"{where}.name", given, DNS_LABEL, NAME_RULE)
    if name in names:
        problems.add(f"{where}.name", name, "is there twice; each entry needs a name of its own")
    together = len(cluster) + len(name)
    if together > LONGEST_CLUSTER_AND_SET:
        problems.add(
            f"{where}.name", name,
            f"with postgres_cluster_name {cluster} it has {together} characters; "
            f"together they may have {LONGEST_CLUSTER_AND_SET}",
        )  # fmt: skip
    return name


def _shape(
    fields: Mapping[str, Any], where: str, cluster: Mapping[str, Any], replicas: int, problems: Problems
) -> dict[str, Any]:
    """What all members of the set have in common."""
    extra = sidecars(fields, where, problems)
    containers = ["database", *(str(each.get("name")) for each in extra)]
    metadata = both(fields, "", f"{where}.", cluster["prefix"], problems)
    return {
        **volumes_of_set(fields, where, cluster, containers, problems),
        **scheduling(fields, where, cluster, replicas, problems),
        "resources": problems.resources(f"{where}.resources", fields["resources"])
        if "resources" in fields
        else cluster["resources"],
        "sidecars": extra,
        "labels": {**cluster["user_labels"], **metadata["labels"]},
        "annotations": {**cluster["annotations"], **metadata["annotations"]},
    }


def _members(
    fields: Mapping[str, Any], where: str, cluster: str, name: str, replicas: int, taken: set[str], problems: Problems
) -> list[str]:
    if "members" not in fields:
        return member_names(cluster, name, replicas, taken)
    listed = problems.sequence(f"{where}.members", fields["members"])
    for each in listed:
        if not isinstance(each, str) or not DNS_LABEL.fullmatch(each) or not each.startswith(f"{cluster}-{name}-"):
            problems.add(f"{where}.members", each, f"must be names that begin with {cluster}-{name}-")
        elif len(each) > LONGEST_MEMBER:
            problems.add(f"{where}.members", each, f"has {len(each)} characters; a member may have {LONGEST_MEMBER}")
        elif each in taken:
            problems.add(f"{where}.members", each, "is also a member of another set")
    if len(listed) != replicas or len(set(map(str, listed))) != replicas:
        problems.add(f"{where}.members", listed, f"must be {replicas} different names, one for each replica")
    return [str(each) for each in listed]
