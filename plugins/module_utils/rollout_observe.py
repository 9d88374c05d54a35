# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at a cluster for a rollout: StatefulSets, pods, volumes, lock, configuration and requests, read in parallel.

What only an agent knows it says in annotation `status` of its pod. Whether that is about the newest configuration and
settings is told by digests, so that a play never goes on by what was true before its own change.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import other_labels
from .apply import Scope, in_parallel
from .asking import Invalid, read_all
from .checks import quantity
from .client import Api, ApiError
from .lease import Lease
from .members import published
from .names import CONFIGURATION_KINDS, path
from .readiness import member_of
from .rollout_plan import Cluster, Member, Synchronous
from .tags import never_leads

TOLD = "settings"
"""Annotation of a pod (after the prefix): for which settings the kubelet was told to look."""
REVISION = "controller-revision-hash"
_DISRUPTS = ("switchover", "failover", "restart", "reinitialize")


@dataclass(frozen=True)
class Place:
    """Which cluster, and what the inventory says of its members: pod name -> tags."""

    namespace: str
    cluster: str
    selector: Mapping[str, str]
    prefix: str
    lock_kind: str
    members: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Sight:
    """The cluster, and the objects that steps act on."""

    cluster: Cluster
    pods: Mapping[str, dict[str, Any]]
    sets: Mapping[str, dict[str, Any]]
    settings: str
    """Digest of the static settings."""


def digest(text: str) -> str:
    """As the agents compute it (runtime/published.py)."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def look(api: Api, place: Place) -> Sight:
    """Raises Invalid where the cluster has labels of another prefix, ApiError and Unreachable."""
    name, namespace = place.cluster, place.namespace
    query = Scope(namespace, place.selector).query()

    def listed(kind: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = api.request("GET", path(kind, namespace), query=query)["items"]
        return found

    def one(kind_and_name: tuple[str, str]) -> dict[str, Any]:
        try:
            return api.request("GET", path(kind_and_name[0], namespace, kind_and_name[1]))
        except ApiError as error:
            if error.status != 404:
                raise
            return {}

    pods, sets, volumes = in_parallel(listed, ("Pod", "StatefulSet", "PersistentVolumeClaim"))
    singles = [(place.lock_kind, f"{name}-ha"), (CONFIGURATION_KINDS[place.lock_kind], f"{name}-ha-config"),
               ("ConfigMap", f"{name}-ha-failover"), ("ConfigMap", f"{name}-config")]  # fmt: skip
    lock, configuration, requests, static = in_parallel(one, singles)
    if word := other_labels.trouble({"kind": "ConfigMap", **static}, place.selector):
        raise Invalid(f"{word}. Nothing was done.")
    return sight(place, pods, sets, volumes, lock, configuration, requests, static)


def sight(
    place: Place,
    pods: Sequence[dict[str, Any]],
    sets: Sequence[dict[str, Any]],
    volumes: Sequence[dict[str, Any]],
    lock: Mapping[str, Any],
    configuration: Mapping[str, Any],
    requests: Mapping[str, Any],
    static: Mapping[str, Any],
) -> Sight:
    """What these objects say together. Pure."""
    label = f"{place.prefix}instance"
    by_pod = {each["metadata"]["name"]: each for each in pods if label in _labels(each)}
    by_set = {f"{each['metadata']['name']}-0": each for each in sets if label in _labels(each)}
    config = _annotations(configuration).get("config", "")
    lease = Lease(place.lock_kind, _annotations(lock))
    settings = digest((static.get("data") or {}).get("pgherd.yaml", ""))
    news = _News(place, lease, digest(config), settings)
    names = [*place.members, *sorted(set(by_set) - set(place.members))]
    members = tuple(
        news.member(
            name,
            by_set[name],
            by_pod.get(name),
            [each for each in volumes if _labels(each).get(label) == by_set[name]["metadata"]["name"]],
        )
        for name in names
        if name in by_set
    )
    cluster = Cluster(
        name=place.cluster, members=members, leader=lease.leader,
        last_leader=lease.annotations.get("leader", ""), candidates=lease.candidates,
        synchronous=_synchronous(_json(config), _json(lease.annotations.get("sync", ""))), paused=lease.paused,
        follows=isinstance(_json(config).get("standby_cluster"), dict),
        requests=_unfinished(_annotations(requests)),
    )  # fmt: skip
    return Sight(cluster, by_pod, by_set, settings)


@dataclass(frozen=True)
class _News:
    place: Place
    lease: Lease
    configuration: str
    settings: str

    def member(
        self, name: str, owner: Mapping[str, Any], pod: Mapping[str, Any] | None, claims: Sequence[Mapping[str, Any]]
    ) -> Member:
        declared = name in self.place.members
        tags = self.place.members.get(name, {})
        sizes = [_resizing(each) for each in claims]
        resizing = "; ".join(each[0] for each in sizes if each[0])
        at_start = any(each[1] for each in sizes)
        shape = {
            "name": name, "declared": declared, "running": owner["spec"].get("replicas", 1) > 0,
            "may_lead": not never_leads(tags) and "replicatefrom" not in tags, "may_vote": not tags.get("nosync"),
            "resizing": resizing, "resized_by_start": at_start,
        }  # fmt: skip
        if pod is None:
            return Member(**shape, present=False, ready=False, streaming=False, state="no pod")
        said, outdated = published(pod, self.place.prefix), _outdated(owner, pod)
        # An agent of before this annotation: it is about to be replaced, and the lease says whether it streams.
        older = outdated and not said
        seen = member_of(name, pod, self.lease.leader, self.place.prefix)
        source, cascades = said.get("streaming_from"), bool(tags.get("replicatefrom"))
        streams = bool(source) and (cascades or source == self.lease.leader)
        return Member(
            **shape,
            terminating="deletionTimestamp" in pod["metadata"],
            ready=seen["ready"],
            state=seen["state"],
            streaming=seen["ready"] and (streams or (older and name in self.lease.candidates)),
            outdated=outdated,
            template_seen=_template_seen(owner),
            pending=said.get("pending_restart") or {},
            configured=older or said.get("configuration") == self.configuration,
            refused=said.get("refused") or "" if said.get("seen") == self.configuration else "",
            settled=older or said.get("settings") == self.settings,
            told=not said or self.settings in (said.get("settings"), self._told(pod)),
        )

    def _told(self, pod: Mapping[str, Any]) -> str:
        return _annotations(pod).get(self.place.prefix + TOLD, "")


def _outdated(owner: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
    """Whether the pod is of another revision than its StatefulSet's newest, as the controller has counted them."""
    newest = (owner.get("status") or {}).get("updateRevision")
    return bool(newest) and _template_seen(owner) and _labels(pod).get(REVISION) != newest


def _template_seen(owner: Mapping[str, Any]) -> bool:
    """Whether the controller has counted the newest template: before that nobody knows which pods are outdated."""
    seen: int = (owner.get("status") or {}).get("observedGeneration", 0)
    return bool(seen >= owner["metadata"].get("generation", 0))


def _resizing(claim: Mapping[str, Any]) -> tuple[str, bool]:
    """Why a volume is smaller than asked for, and whether only a new pod ends that."""
    status = claim.get("status") or {}
    asked = quantity(str(claim["spec"]["resources"]["requests"]["storage"]))
    has = quantity(str((status.get("capacity") or {}).get("storage", "")))
    if not has or has >= asked:
        return "", False
    told = {each["type"]: each.get("message") or each["type"] for each in status.get("conditions") or ()}
    return "; ".join(told.values()) or "no word of the storage driver yet", "FileSystemResizePending" in told


def _synchronous(configuration: Mapping[str, Any], sync: Mapping[str, Any]) -> Synchronous:
    mode = configuration.get("synchronous_mode", False)
    if mode in (False, "off", None):
        return Synchronous()
    members = tuple(str(each.get("member")) for each in sync.get("members") or () if isinstance(each, Mapping))
    strict = configuration.get("synchronous_mode_strict") is True
    return Synchronous(int(configuration.get("synchronous_node_count", 1)), strict, members)


def _unfinished(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """What is under way or about to be; what is for later is not waited for."""
    found = read_all(annotations).values()
    return tuple(str(each) for each in found if each.verb in _DISRUPTS and not each.finished
                 and not (each.not_before and each.state == "pending"))  # fmt: skip


def _annotations(item: Mapping[str, Any]) -> Mapping[str, str]:
    return (item.get("metadata") or {}).get("annotations") or {}


def _labels(item: Mapping[str, Any]) -> Mapping[str, str]:
    return item["metadata"].get("labels") or {}


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
