# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `postgres_patches` may change: whatever the templates render, but nothing that a promise rests on.

Looked at before anything is changed, because a patch of nothing, or one that Kubernetes refuses, would otherwise
be found when certificates are there already.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .checks import Problems
from .names import rendered_names
from .sidecars import FENCE, UNMOUNTABLE, mounts_the_fences

_IDENTITY = "cannot be changed, because it says which object this is"
_NAMESPACE = (
    "must stay false: a container's end proves that its PostgreSQL is dead only in a process namespace of its own"
)
_ONE_POD = "must stay 1: a member is one pod; change replicas of postgres_instances"
_FENCE = "cannot be set: the fence, the image's entry point, must be process 1 of container database"
_ON_DELETE = "must stay OnDelete: Kubernetes would replace all members at once"


def patches(given: Any, cluster: Mapping[str, Any], problems: Problems) -> list[dict[str, Any]]:
    """The patches with their known fields; whatever is wrong with them is added to `problems`."""
    result, known = [], rendered_names(cluster)
    for index, entry in enumerate(problems.sequence("postgres_patches", given)):
        where = f"postgres_patches[{index}]"
        fields = problems.fields(where, entry, ("kind", "name", "merge"))
        kind, name = fields.get("kind"), fields.get("name")
        if not isinstance(kind, str) or kind not in known:
            problems.add(f"{where}.kind", kind, f"must be one of {', '.join(known)}")
        elif name is not None and name not in known[kind]:
            problems.add(f"{where}.name", name, f"must be one of {', '.join(known[kind])}")
        merge = problems.mapping(f"{where}.merge", fields.get("merge"))
        problems.mapping(f"{where}.merge.metadata", merge.get("metadata", {}))
        found = [*_identity(merge), *_labels(merge, cluster["prefix"])]
        if kind == "StatefulSet":
            found += _promises(merge)
        problems.texts += [f"{where}.merge.{field}: {reason}" for field, reason in found]
        result.append(fields)
    return result


def _identity(merge: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for field in ("apiVersion", "kind", "metadata.name", "metadata.namespace"):
        if _has(merge, field):
            yield field, _IDENTITY


def _labels(merge: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    """Labels by which the play and Kubernetes find what belongs together."""
    for field in ("metadata.labels", "spec.template.metadata.labels", "spec.selector"):
        if not _has(merge, field):
            continue
        labels = _value(merge, field)
        if labels is None:
            yield field, "cannot be removed"
        names = [each for each in labels or () if isinstance(labels, Mapping) and str(each).startswith(prefix)]
        yield from ((f'{field}["{each}"]', f"labels that begin with {prefix} are pgherd's own") for each in names)


def _promises(merge: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for field in ("hostPID", "shareProcessNamespace"):
        if _value(merge, f"spec.template.spec.{field}"):
            yield f"spec.template.spec.{field}", _NAMESPACE
    if _value(merge, "spec.replicas") not in (None, 1):
        yield "spec.replicas", _ONE_POD
    if _value(merge, "spec.updateStrategy.type") not in (None, "OnDelete"):
        yield "spec.updateStrategy.type", _ON_DELETE
    containers = _value(merge, "spec.template.spec.containers")
    for each in containers if isinstance(containers, list) else ():
        if not isinstance(each, Mapping):
            continue
        if each.get("name") == "database" and "command" in each:
            yield "spec.template.spec.containers[database].command", _FENCE
        if each.get("name") != "database" and mounts_the_fences(each):
            yield f"spec.template.spec.containers[{each.get('name')}].volumeMounts[{FENCE}]", UNMOUNTABLE


def _has(merge: Any, field: str) -> bool:
    *parents, last = field.split(".")
    holder = _value(merge, ".".join(parents)) if parents else merge
    return isinstance(holder, Mapping) and last in holder


def _value(merge: Any, field: str) -> Any:
    for name in field.split("."):
        merge = merge.get(name) if isinstance(merge, Mapping) else None
    return merge
