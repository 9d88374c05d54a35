# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is the cluster as declared? Every member's pod Ready, a leader in the lock, the role labels right; if not, why."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import access_status
from .apply import Scope
from .client import Api, ApiError
from .members import published, waiting
from .names import path
from .published import said_by, shown


@dataclass(frozen=True)
class Situation:
    members: tuple[dict[str, Any], ...]
    lock: dict[str, str]
    missing: tuple[str, ...]
    """What is not yet as declared, one sentence each; empty when the cluster is ready."""
    refused: tuple[str, ...] = ()
    """Those of them that no waiting changes."""

    @property
    def leader(self) -> str:
        return self.lock.get("leader", "")


def situation(
    api: Api, namespace: str, lock: tuple[str, str], members: Sequence[str], selector: Mapping[str, str], prefix: str,
    poolers: Sequence[str] = (),
) -> Situation:  # fmt: skip
    """One look at pods, lock (kind, name), poolers and users. Without `members` (pod names) those that are there are
    shown."""
    by_name = _pods(api, namespace, selector, prefix)
    annotations = _annotations(api, path(lock[0], namespace, lock[1]))
    names = list(members) or sorted(by_name)
    shown = tuple(member_of(name, by_name.get(name), annotations.get("leader", ""), prefix) for name in names)
    missing = (*_missing(shown, annotations, " ".join(lock)), *_without(api, namespace, poolers))
    if not any(each["leader"] and each["role"] in ("primary", "master") for each in shown):
        return Situation(shown, annotations, missing)
    # Only a primary takes declared users and databases up.
    word = access_status.look(api, namespace, f"{lock[1].removesuffix('-ha')}-users")
    return Situation(shown, annotations, (*missing, *word.waiting, *word.refused), word.refused)


def members_of(
    api: Api, namespace: str, selector: Mapping[str, str], leader: str, prefix: str
) -> tuple[dict[str, Any], ...]:
    """The members whose pods are there, by name."""
    by_name = _pods(api, namespace, selector, prefix)
    return tuple(member_of(name, by_name[name], leader, prefix) for name in sorted(by_name))


def _pods(api: Api, namespace: str, selector: Mapping[str, str], prefix: str) -> dict[str, dict[str, Any]]:
    pods = api.request("GET", path("Pod", namespace), query=Scope(namespace, selector).query())["items"]
    return {pod["metadata"]["name"]: pod for pod in pods if f"{prefix}instance" in _labels(pod)}


def _annotations(api: Api, where: str) -> dict[str, str]:
    try:
        return dict(api.request("GET", where)["metadata"].get("annotations") or {})
    except ApiError as error:
        if error.status == 404:
            return {}
        raise


def member_of(name: str, pod: Mapping[str, Any] | None, leader: str, prefix: str) -> dict[str, Any]:
    """One member as people read it."""
    if pod is None:
        return {
            "name": name, "role": "", "ready": False, "node": "", "address": "", "state": "no pod", "leader": False,
            "certificates": [], "pending_restart": None,
        }  # fmt: skip
    status = pod.get("status") or {}
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions") or ())
    return {
        "name": name,
        "role": _labels(pod).get(f"{prefix}role", ""),
        "ready": ready and "deletionTimestamp" not in pod["metadata"],
        "node": pod["spec"].get("nodeName", ""),
        "address": status.get("podIP", ""),
        "state": _state(pod),
        "leader": name == leader,
        "certificates": shown(said_by(pod, prefix), time.time()),
        "pending_restart": waiting(published(pod, prefix)),
    }


def _state(pod: Mapping[str, Any]) -> str:
    """The most telling word and sentence that Kubernetes has for this pod."""
    status = pod.get("status") or {}
    if "deletionTimestamp" in pod["metadata"]:
        return "terminating"
    for container in status.get("containerStatuses") or ():
        for state in (container.get("state") or {}, container.get("lastState") or {}):
            found = state.get("waiting") or state.get("terminated") or {}
            if found.get("reason") and not container.get("ready"):
                return _joined(found["reason"], found.get("message"))
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] != "True":
            return _joined(condition.get("reason", "not scheduled"), condition.get("message"))
    return str(status.get("phase", "unknown")).lower()


def _joined(reason: str, message: str | None) -> str:
    return f"{reason}: {' '.join(message.split())[:160]}" if message else reason


def _missing(members: Sequence[Mapping[str, Any]], lock: Mapping[str, str], lock_name: str) -> Iterator[str]:
    if not lock.get("leader"):
        yield f"no leader in {lock_name}"
    for member in members:
        if not member["ready"]:
            yield f"{member['name']} is not ready ({member['state']})"
        elif lock.get("leader"):
            declared = ("primary", "master") if member["leader"] else ("replica", "noloadbalance")
            if member["role"] not in declared:
                yield f"{member['name']} bears role {member['role'] or 'none'} instead of {declared[0]}"


def _without(api: Api, namespace: str, poolers: Sequence[str]) -> Iterator[str]:
    """Poolers (names of Deployments) that are not, or not wholly, as declared last."""
    for name in poolers:
        try:
            found = api.request("GET", path("Deployment", namespace, name))
        except ApiError as error:
            if error.status != 404:
                raise
            yield f"pooler {name} is not there"
            continue
        status, wanted = found.get("status") or {}, found["spec"].get("replicas", 1)
        known = status.get("observedGeneration", 0) >= found["metadata"].get("generation", 0)
        ready = min(status.get("updatedReplicas", 0), status.get("availableReplicas", 0)) if known else 0
        if ready < wanted:
            yield f"pooler {name} has {ready} of {wanted} pods ready"


def _labels(pod: Mapping[str, Any]) -> dict[str, str]:
    return pod["metadata"].get("labels") or {}
