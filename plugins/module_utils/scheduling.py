# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the pods of a set may run: as Kubernetes takes it, over defaults that spread members over nodes and zones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .checks import Problems
from .names import DNS_NAME, DNS_RULE

FIELDS = ("affinity", "tolerations", "topology_spread", "priority_class", "min_available")
_AFFINITIES = ("nodeAffinity", "podAffinity", "podAntiAffinity")
_TOLERATION = ("key", "operator", "value", "effect", "tolerationSeconds")
_SPREAD = (
    "maxSkew", "topologyKey", "whenUnsatisfiable", "labelSelector", "minDomains", "nodeAffinityPolicy",
    "nodeTaintsPolicy", "matchLabelKeys",
)  # fmt: skip
_PERCENT = re.compile(r"(100|[1-9]?\d)%")
TOPOLOGIES = ("kubernetes.io/hostname", "topology.kubernetes.io/zone")


def scheduling(
    fields: Mapping[str, Any], where: str, cluster: Mapping[str, Any], replicas: int, problems: Problems, role: str = ""
) -> dict[str, Any]:
    """What is given is added to the default spread, and takes the place of the default affinity of its kind.

    Pods with label `role` are spread apart from each other; without it members, with the repositories' pods.
    """
    prefix, name = cluster["prefix"], cluster["name"]
    with_default = cluster["default_scheduling"]
    affinity = problems.fields(f"{where}.affinity", fields.get("affinity") or {}, _AFFINITIES)
    for kind, value in affinity.items():
        problems.mapping(f"{where}.affinity.{kind}", value)
    priority = fields.get("priority_class") or ""
    if priority:
        problems.pattern(f"{where}.priority_class", priority, DNS_NAME, DNS_RULE)
    kind = {f"{prefix}role": role} if role else {f"{prefix}data": "postgres"}
    own = {"matchLabels": {f"{prefix}cluster": name, **kind}}
    default = {"podAntiAffinity": _apart(own)} if with_default else {}
    evenly = _evenly(own if role else _data(prefix, name)) if with_default else []
    return {
        "affinity": {**default, **affinity},
        "tolerations": _tolerations(fields, where, problems),
        "topology_spread": [*evenly, *_spread(fields, where, problems)],
        "priority_class": str(priority),
        "min_available": _min_available(fields, where, replicas, problems),
    }


def _apart(selector: Mapping[str, Any]) -> dict[str, Any]:
    term = {"topologyKey": TOPOLOGIES[0], "labelSelector": selector}
    return {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]}


def _data(prefix: str, name: str) -> dict[str, Any]:
    """With the repositories' pods, so that a backup is not where all members are."""
    return {
        "matchLabels": {f"{prefix}cluster": name},
        "matchExpressions": [{"key": f"{prefix}data", "operator": "In", "values": ["postgres", "pgbackrest"]}],
    }


def _evenly(selector: Mapping[str, Any]) -> list[dict[str, Any]]:
    spread = {"maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": selector}
    return [{**spread, "topologyKey": topology} for topology in TOPOLOGIES]


def _tolerations(fields: Mapping[str, Any], where: str, problems: Problems) -> list[dict[str, Any]]:
    found = []
    for index, each in enumerate(problems.sequence(f"{where}.tolerations", fields.get("tolerations") or [])):
        place = f"{where}.tolerations[{index}]"
        toleration = problems.fields(place, each, _TOLERATION)
        if "operator" in toleration:
            problems.choice(f"{place}.operator", toleration["operator"], ("Equal", "Exists"))
        if toleration.get("effect"):
            allowed = ("NoSchedule", "PreferNoSchedule", "NoExecute")
            problems.choice(f"{place}.effect", toleration["effect"], allowed)
        found.append(toleration)
    return found


def _spread(fields: Mapping[str, Any], where: str, problems: Problems) -> list[dict[str, Any]]:
    found = []
    for index, each in enumerate(problems.sequence(f"{where}.topology_spread", fields.get("topology_spread") or [])):
        place = f"{where}.topology_spread[{index}]"
        spread = {"maxSkew": None, "topologyKey": None, **problems.fields(place, each, _SPREAD)}
        problems.integer(f"{place}.maxSkew", spread["maxSkew"], 1, 1000)
        if not isinstance(spread["topologyKey"], str):
            problems.add(f"{place}.topologyKey", spread["topologyKey"], "must be the name of a label of nodes")
        allowed = ("DoNotSchedule", "ScheduleAnyway")
        problems.choice(f"{place}.whenUnsatisfiable", spread.get("whenUnsatisfiable"), allowed)
        found.append(spread)
    return found


def _min_available(fields: Mapping[str, Any], where: str, replicas: int, problems: Problems) -> int | str:
    """Pods that an eviction must leave; 0: no budget at all."""
    given = fields.get("min_available")
    if given is None:
        return 1 if replicas > 1 else 0
    if isinstance(given, str) and _PERCENT.fullmatch(given):
        return given if given != "0%" else 0
    try:
        number = int(str(given))
    except ValueError:
        number = -1
    if isinstance(given, bool) or not 0 <= number <= replicas:
        problems.add(f"{where}.min_available", given, f"must be a number from 0 to {replicas}, or a share such as 50%")
    return number
