# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock as people and plays read it: who leads, who may take over, and how far everybody is. Never written here."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .client import Api, ApiError
from .names import LOCK_KINDS, path

SLOT_NAME = 63


@dataclass(frozen=True)
class Lease:
    """The annotations of `<cluster>-ha`; numbers are None where the record has none."""

    kind: str
    annotations: Mapping[str, str]

    @property
    def epoch(self) -> int | None:
        return _number(self.annotations.get("transitions"))

    @property
    def free(self) -> bool:
        return self.epoch is None or self.epoch == _number(self.annotations.get("released"))

    @property
    def leader(self) -> str:
        """Who holds it; empty while it is free or was never held."""
        return "" if self.free else self.annotations.get("leader", "")

    @property
    def holder(self) -> dict[str, Any]:
        found = _document(self.annotations.get("holder"))
        return found if isinstance(found, dict) else {}

    @property
    def timeline(self) -> int | None:
        """The newest one that clients were sent to."""
        return _number(self.holder.get("writable")) or _number(self.holder.get("timeline"))

    @property
    def written(self) -> tuple[int | None, int | None]:
        """Moves with every write: tells a record that was written since from one that was seen before."""
        return self.epoch, _number(self.holder.get("serial"))

    @property
    def candidates(self) -> tuple[str, ...]:
        """Who may take it when its holder is lost: they stream from it, and are within the allowed lag."""
        found = _document(self.annotations.get("candidates"))
        names = [each.get("member") for each in found if isinstance(each, dict)] if isinstance(found, list) else []
        return tuple(str(name) for name in names if name)

    @property
    def paused(self) -> bool:
        return self.annotations.get("pause") == "true" or self.holder.get("pause") is True

    def lag(self, member: str) -> int | None:
        """Bytes that a member has not confirmed of what the holder had when it last wrote."""
        slots = _document(self.annotations.get("slots"))
        position = _number(slots.get(slot_name(member))) if isinstance(slots, dict) else None
        newest = _number(self.annotations.get("optime"))
        return None if position is None or newest is None else max(0, newest - position)


def slot_name(member: str) -> str:
    """Slot that a member streams from, as the agents name it."""
    return re.sub(r"[^a-z0-9_]", "_", member.lower())[:SLOT_NAME]


def read_lease(api: Api, namespace: str, cluster: str, kind: str | None = None) -> Lease | None:
    """None when there is no lock."""
    found = first_of(api, namespace, f"{cluster}-ha", [kind] if kind else list(LOCK_KINDS.values()))
    return Lease(found["kind"], found["metadata"].get("annotations") or {}) if found else None


def first_of(api: Api, namespace: str, name: str, kinds: Sequence[str]) -> dict[str, Any] | None:
    """The object of the first of these kinds that is there. Raises ApiError when none of them may be read."""
    refused = list[ApiError]()
    for kind in kinds:
        try:
            return {**api.request("GET", path(kind, namespace, name)), "kind": kind}
        except ApiError as error:
            if error.status not in (403, 404):
                raise
            # Who may read the one kind need not be allowed to read the other.
            refused += [error] if error.status == 403 else []
    if len(refused) == len(kinds):
        raise refused[0]
    return None


def _number(value: Any) -> int | None:
    try:
        return None if value is None or isinstance(value, bool) else int(value)
    except (TypeError, ValueError):
        return None


def _document(text: str | None) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None
