# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What members publish of the certificates that they use: an annotation of their pods, written by the agents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

ANNOTATION = "certificates"
DAY = 86400


def said_by(pod: Mapping[str, Any], prefix: str) -> dict[str, dict[str, Any]]:
    """By kind: `serves`, `trusts`, `expires`, `refused`. Nothing when it has said nothing yet, or nonsense."""
    text = (pod["metadata"].get("annotations") or {}).get(f"{prefix}{ANNOTATION}") or "{}"
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return {kind: each for kind, each in found.items() if isinstance(each, dict)} if isinstance(found, dict) else {}


def shown(said: Mapping[str, Mapping[str, Any]], now: float) -> list[dict[str, Any]]:
    """For people: each kind with its date, the whole days that are left (None: not known), and what is wrong."""
    result = list[dict[str, Any]]()
    for kind, each in sorted(said.items()):
        until = each.get("expires")
        known = isinstance(until, (int, float))
        result.append(
            {
                "kind": kind,
                "expires": datetime.fromtimestamp(until, UTC).isoformat() if known else "",
                "days_left": int((until - now) // DAY) if known else None,
                "problem": str(each.get("refused") or ""),
            }
        )
    return result
