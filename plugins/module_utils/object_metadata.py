# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels and annotations that users give to objects: what Kubernetes takes, and none of those that pgherd finds by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .checks import Problems

_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
KEY = re.compile(rf"([a-z0-9]([-a-z0-9.]{{0,251}}[a-z0-9])?/)?{_NAME}")
_VALUE = re.compile(rf"({_NAME})?")
_KEY_RULE = "the name must be up to 63 letters, digits, -, _ and ., perhaps with a DNS name and a slash before it"


def labels(where: str, given: Any, prefix: str, problems: Problems) -> dict[str, str]:
    found = _texts(where, given, prefix, problems)
    for name, value in found.items():
        if not _VALUE.fullmatch(value):
            problems.add(f"{where}.{name}", value, "must be up to 63 letters, digits, -, _ and .")
    return found


def annotations(where: str, given: Any, prefix: str, problems: Problems) -> dict[str, str]:
    return _texts(where, given, prefix, problems)


def _texts(where: str, given: Any, prefix: str, problems: Problems) -> dict[str, str]:
    found = problems.mapping(where, given)
    for name, value in found.items():
        if not isinstance(name, str) or not KEY.fullmatch(name):
            problems.add(f"{where}.{name}", value, _KEY_RULE)
        elif name.startswith(prefix):
            problems.add(f"{where}.{name}", value, f"names that begin with {prefix} are pgherd's own")
        elif not isinstance(value, str):
            problems.add(f"{where}.{name}", value, "must be a text; quote numbers, true and false")
    return {str(name): str(value) for name, value in found.items()}


def both(given: Mapping[str, Any], prefix: str, where: str, own: str, problems: Problems) -> dict[str, dict[str, str]]:
    """Keys `labels` and `annotations` from fields of the same names; `own` is the prefix of pgherd's labels."""
    return {
        "labels": labels(f"{where}{prefix}labels", given.get(f"{prefix}labels") or {}, own, problems),
        "annotations": annotations(
            f"{where}{prefix}annotations", given.get(f"{prefix}annotations") or {}, own, problems
        ),
    }
