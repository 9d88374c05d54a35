# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order in which one call brings a cluster to what is declared, or takes it away."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import leaving, other_labels, static_settings, volume_growth
from . import users as database_users
from .apply import (
    APPLIED_KINDS,
    WAVES,
    Live,
    Outcome,
    Refused,
    Scope,
    apply_all,
    by_controller,
    create_once,
    delete,
    in_parallel,
    observe,
    read,
    surplus,
)
from .client import Api, ApiError
from .configuration import apply_configuration, refuse_conflict
from .names import CONFIGURATION_KINDS, key_of, path
from .overlay import overlay, patched

PODS_GONE_SECONDS = 120.0
_WRITTEN_BY_PEOPLE = frozenset({"Deployment", "NetworkPolicy", "Service", "StatefulSet"})
WORKLOADS = frozenset({"Deployment", "StatefulSet"})
"""What makes pods, members' and poolers'."""


@dataclass(frozen=True)
class Wanted:
    """Options of the module `resources`, as documented there."""

    namespace: str
    selector: Mapping[str, str]
    owned: Mapping[str, str]
    objects: Sequence[dict[str, Any]] = ()
    create_once: Sequence[dict[str, Any]] = ()
    patches: Sequence[dict[str, Any]] = ()
    users: Sequence[dict[str, Any]] = ()
    configuration: str | None = None
    conflict: str = "fail"
    keep: Sequence[str] = ()
    lock: str | None = None
    lock_kind: str = "Endpoints"
    purge: bool = False
    keep_members: str = ""

    @property
    def kinds(self) -> tuple[str, ...]:
        """What is listed: where the lock is a slice, the API server may have dropped Endpoints."""
        return tuple(kind for kind in APPLIED_KINDS if kind != "Endpoints" or self.lock_kind == "Endpoints")

    @property
    def configured(self) -> tuple[str, str | None]:
        """Kind and name of the object with the dynamic configuration."""
        return CONFIGURATION_KINDS[self.lock_kind], self.configuration

    @property
    def scope(self) -> Scope:
        return Scope(self.namespace, self.selector, self.owned)


@dataclass(frozen=True)
class Look:
    """What a call is about to bring together, after everything that can be refused without a write was looked at."""

    objects: list[dict[str, Any]]
    live: Live
    gone: list[dict[str, Any]]
    """What is ours and no longer declared."""


def converge(api: Api, wanted: Wanted, check: bool) -> list[Outcome]:
    """Raises Refused before the first write, or later with the API server's word on one object."""
    found = _look(api, wanted)
    outcomes = [_made_once(api, wanted, each, found.live, check) for each in wanted.create_once]
    objects = [*found.objects, *_secrets(wanted, found.live, not check)]
    outcomes += apply_all(api, objects, found.live, check)
    return outcomes + [delete(api, each, check) for each in _last_wave_first(found.gone)]


def verify(api: Api, wanted: Wanted) -> None:
    """For whoever writes something else first. Raises what `converge` would, and what the API server says to objects
    that hold what people declared in its own words.

    Rights are asked for by `pki`, which comes next and names all that are missing: who may not look is not told of one
    here.
    """
    try:
        found = _look(api, wanted)
        apply_all(api, list(_doubtful(found.objects, wanted.patches)), found.live, check=True)
    except ApiError as error:
        if error.status != 403:
            raise


def _doubtful(objects: Sequence[dict[str, Any]], patches: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """What patches change, and what has affinity, sidecars, volumes, addresses or selectors as somebody wrote them.

    The members of one set differ in their names. Of a node port that is taken `pki` says by whom; here nobody does.
    """
    changed = {key_of(each) for each in patched(objects, patches)}
    sets = set[str]()
    for each in objects:
        if each["kind"] == "StatefulSet" and key_of(each) not in changed:
            labels = each["metadata"].get("labels") or {}
            name = "/".join(value for key, value in sorted(labels.items()) if key.endswith("/instance-set"))
            if name in sets:
                continue
            sets.add(name)
        tried = each["kind"] in _WRITTEN_BY_PEOPLE and not _asks_for_node_ports(each)
        if tried or key_of(each) in changed:
            yield each


def _asks_for_node_ports(definition: Mapping[str, Any]) -> bool:
    return any(port.get("nodePort") for port in definition["spec"].get("ports") or () if isinstance(port, Mapping))


def _look(api: Api, wanted: Wanted) -> Look:
    objects = overlay(wanted.objects, wanted.patches)
    in_parallel(
        lambda refuse: refuse(), (lambda: _refuse_other_lock(api, wanted), lambda: _refuse_other_settings(api, objects))
    )
    secrets = [{"kind": "Secret", "metadata": {"name": each["secret"], "namespace": wanted.namespace}}
               for each in wanted.users]  # fmt: skip
    live = observe(api, wanted.scope, wanted.kinds, [*objects, *wanted.create_once, *secrets])
    names = {key_of(each) for each in [*objects, *wanted.create_once, *secrets]}
    names |= {("Secret", name) for name in wanted.keep}
    # The agents' memory, whatever labels somebody gave it.
    names |= {(kind, name) for kind, name in ((wanted.lock_kind, wanted.lock), wanted.configured) if name}
    _refuse_volumes(api, objects, live)
    _secrets(wanted, live, generate=False)
    for each in wanted.create_once:
        if key_of(each) == wanted.configured and key_of(each) in live:
            refuse_conflict(each, live[key_of(each)], wanted.conflict)
    if wanted.keep_members:
        names |= leaving.kept(live, wanted.keep_members)
        objects = leaving.with_rights(objects, live, wanted.scope, wanted.keep_members)
    gone = surplus(live, wanted.scope, names, wanted.purge)
    _protect_leader(live, (wanted.lock_kind, wanted.lock or ""), gone)
    return Look(objects, live, gone)


def _secrets(wanted: Wanted, live: Live, generate: bool) -> list[dict[str, Any]]:
    return [database_users.secret(user, live.get(("Secret", user["secret"])), generate) for user in wanted.users]


def _refuse_volumes(api: Api, objects: Sequence[dict[str, Any]], live: Live) -> None:
    found = list(volume_growth.problems(api, objects, live))
    if found:
        raise Refused(f"{'; '.join(found)}. Nothing was changed.")


def _made_once(api: Api, wanted: Wanted, definition: Mapping[str, Any], live: Live, check: bool) -> Outcome:
    found = live.get(key_of(definition))
    if found is not None and key_of(definition) == wanted.configured:
        return apply_configuration(api, definition, found, wanted.conflict, check)
    return create_once(api, definition, found, check)


def _refuse_other_settings(api: Api, objects: Sequence[dict[str, Any]]) -> None:
    """Found by its name: whoever changes the labels' prefix finds nothing by label."""
    definition = static_settings.declared(objects)
    if definition is not None and (found := list(static_settings.changes(definition, read(api, definition)))):
        raise Refused(f"{' '.join(found)} Nothing was changed.")


def _refuse_other_lock(api: Api, wanted: Wanted) -> None:
    """Members of one cluster with two locks would be two clusters (S1): the kind of a lock never changes."""
    other = {
        "Endpoints": [("ConfigMap", wanted.configuration)],
        "EndpointSlice": [("Endpoints", wanted.lock), ("Endpoints", wanted.configuration)],
    }[wanted.lock_kind]
    for kind, name in other:
        if name and _is_there(api, path(kind, wanted.namespace, name)):
            mode = "endpointslice" if wanted.lock_kind == "Endpoints" else "endpoints"
            raise Refused(
                f"postgres_lock: {kind} {name} in namespace {wanted.namespace} says that the lock of this cluster is "
                f"{mode}, and that cannot be changed while the cluster is there. Set postgres_lock to {mode}, or "
                "delete the cluster (its volumes are kept) and make it anew. Nothing was changed."
            )


def _is_there(api: Api, where: str) -> bool:
    """An API server without Endpoints, and an account that may not look for them, have none."""
    try:
        api.request("GET", where)
    except ApiError as error:
        if error.status not in (403, 404):
            raise
        return False
    return True


def _protect_leader(live: Live, lock: tuple[str, str], gone: Sequence[Mapping[str, Any]]) -> None:
    """Scale-down must not take the primary away: its clients would notice, and a switchover costs them less."""
    annotations = live.get(lock, {}).get("metadata", {}).get("annotations") or {}
    leader = annotations.get("leader", "")
    for each in gone:
        if each["kind"] == "StatefulSet" and leader == f"{each['metadata']['name']}-0":
            raise Refused(
                f"{leader} is the primary and would be removed. Let another member lead first, "
                "or list the members to keep in postgres_instances[].members. Nothing was changed."
            )


def _last_wave_first(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pods before what they use."""
    order = {kind: -index for index, wave in enumerate(WAVES) for kind in wave}
    return sorted(items, key=lambda each: order[each["kind"]])


def remove(api: Api, wanted: Wanted, check: bool) -> list[Outcome]:
    """Delete the cluster: what makes pods first and until they are gone, then the rest; volumes only when purged.

    Raises Refused, before anything is deleted, where the cluster is there with another prefix or another kind of lock.
    """
    _refuse_other_lock(api, wanted)
    if word := other_labels.of_cluster(api, wanted.namespace, wanted.selector, wanted.lock_kind):
        raise Refused(f"{word}. Nothing was deleted.")
    live = observe(api, wanted.scope, wanted.kinds)
    workloads = [item for (kind, dummy), item in sorted(live.items()) if kind in WORKLOADS]
    outcomes = in_parallel(lambda item: delete(api, item, check), workloads)
    if not check:
        _pods_gone(api, wanted.scope)
        # Controllers have deleted what they had made meanwhile.
        live = observe(api, wanted.scope, wanted.kinds)
    kept = WORKLOADS | (set() if wanted.purge else {"PersistentVolumeClaim"})
    rest = _last_wave_first([item for (kind, dummy), item in sorted(live.items()) if kind not in kept])
    rest = [item for item in rest if not _of_controller(item, live)]
    return outcomes + in_parallel(lambda item: delete(api, item, check), rest)


def _of_controller(item: Mapping[str, Any], live: Live) -> bool:
    """Endpoints or a slice of a Service with a selector: its controller deletes them with the Service."""
    if by_controller(item):
        return True
    service = live.get(("Service", item["metadata"]["name"]))
    return bool(item["kind"] == "Endpoints" and service and service["spec"].get("selector"))


def _pods_gone(api: Api, scope: Scope) -> None:
    deadline = time.monotonic() + PODS_GONE_SECONDS
    while True:
        pods = api.request("GET", path("Pod", scope.namespace), query=scope.query())["items"]
        if not pods:
            return
        if time.monotonic() > deadline:
            names = ", ".join(pod["metadata"]["name"] for pod in pods)
            raise Refused(f"after {PODS_GONE_SECONDS:g} s these pods are still there: {names}. Run again to go on.")
        time.sleep(0.5)
