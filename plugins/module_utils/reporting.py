# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules say: per-object results, one line a change, and a diff in which secrets are masked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

try:
    import yaml
except ImportError:  # kubernetes needs PyYAML too, and its absence is reported in its name
    yaml = None  # type: ignore[assignment]

from .apply import Outcome
from .difference import masked


def report(outcomes: Sequence[Outcome], namespace: str, diff: bool) -> dict[str, Any]:
    """Common part of a module's result."""
    moved = [each for each in outcomes if each.moved]
    result: dict[str, Any] = {
        "changed": bool(moved),
        "objects": [
            {"kind": each.kind, "name": each.name, "action": each.action, "fields": list(each.fields)}
            for each in sorted(outcomes, key=lambda each: (each.kind, each.name))
        ],
        "changes": [sentence(each) for each in moved],
    }
    if diff:
        result["diff"] = [_diff(each, namespace) for each in moved]
    return result


def sentence(outcome: Outcome) -> str:
    fields = f": {', '.join(outcome.fields)}" if outcome.fields else ""
    return f"{outcome.action} {outcome.kind} {outcome.name}{fields}"


def _diff(outcome: Outcome, namespace: str) -> dict[str, str]:
    before, after = masked(outcome.before, outcome.after if outcome.action != "deleted" else None)
    header = f"{outcome.kind} {namespace}/{outcome.name}"
    return {
        "before_header": f"{header} (before)",
        "after_header": f"{header} ({outcome.action})",
        "before": text(before),
        "after": text(after),
    }


def text(definition: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(definition), sort_keys=True, default_flow_style=False) if definition else ""


def by_name(objects: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {each["metadata"]["name"]: each for each in objects}
