# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may reach the members' pods: the variables of the NetworkPolicy, in Kubernetes' own words for peers."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from .checks import Problems

_SELECTORS = ("podSelector", "namespaceSelector")


def network(values: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """`clients` reach PostgreSQL, everybody without any; `monitoring` the REST port, members alone without any."""
    return {
        "policy": problems.boolean("postgres_network_policy", values["postgres_network_policy"]),
        **{
            who: _peers(f"postgres_network_policy_{who}", values[f"postgres_network_policy_{who}"], problems)
            for who in ("clients", "monitoring")
        },
    }


def _peers(name: str, given: Any, problems: Problems) -> list[dict[str, Any]]:
    peers = []
    for index, entry in enumerate(problems.sequence(name, given)):
        where = f"{name}[{index}]"
        fields = problems.fields(where, entry, (*_SELECTORS, "ipBlock"))
        if not fields or ("ipBlock" in fields and len(fields) > 1):
            problems.add(where, entry, "must have an ipBlock alone, or podSelector, namespaceSelector or both")
        for field in _SELECTORS:
            if field in fields:
                selector = problems.fields(f"{where}.{field}", fields[field], ("matchLabels", "matchExpressions"))
                problems.mapping(f"{where}.{field}.matchLabels", selector.get("matchLabels", {}))
                problems.sequence(f"{where}.{field}.matchExpressions", selector.get("matchExpressions", []))
        if "ipBlock" in fields:
            _block(f"{where}.ipBlock", fields["ipBlock"], problems)
        peers.append(fields)
    return peers


def _block(where: str, given: Any, problems: Problems) -> None:
    block = problems.fields(where, given, ("cidr", "except"))
    listed = problems.sequence(f"{where}.except", block.get("except", []))
    for field, value in (("cidr", block.get("cidr")), *(("except", each) for each in listed)):
        try:
            ipaddress.ip_network(value if isinstance(value, str) else "")
        except ValueError:
            problems.add(f"{where}.{field}", value, "must be a network, such as 10.1.0.0/16")
