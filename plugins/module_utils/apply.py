# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a cluster's objects to what is declared: observe, apply in waves, prune; `changed` only when one moved.

Server-side apply makes the API server decide whether anything differs, after its own defaults and conversions,
so a second identical run moves no resourceVersion. What is ours and gone is pruned by label and field manager.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .client import APPLY, CONNECTIONS, JSON_PATCH, Api, ApiError
from .difference import LATER, changed_fields
from .names import CUSTOM_KINDS, FIELD_MANAGER, key_of, path, path_of
from .services import exact_patch

Definition = Mapping[str, Any]
Live = dict[tuple[str, str], dict[str, Any]]
T = TypeVar("T")
R = TypeVar("R")

# A later wave needs an earlier one: a binding its Role, Endpoints a Service's address, pods everything.
WAVES: Sequence[frozenset[str]] = (
    frozenset({"ServiceAccount", "Role", "Secret", "ConfigMap", "Service", "PersistentVolumeClaim", "NetworkPolicy"}),
    frozenset({"RoleBinding", "Endpoints", "EndpointSlice", "PodDisruptionBudget", "PodMonitor", "PrometheusRule"}),
    frozenset({"Deployment", "StatefulSet"}),
)
APPLIED_KINDS = tuple(sorted(kind for wave in WAVES for kind in wave))

MANAGED_BY = "endpointslice.kubernetes.io/managed-by"

# `$(Service/demo-ha:spec.clusterIP)`: a value that another object gets from the API server.
REFERENCE = re.compile(r"\$\((?P<kind>[A-Za-z]+)/(?P<name>[-a-z0-9.]+):(?P<field>[A-Za-z.]+)\)")


class Refused(Exception):
    """Nothing of this was done, or the API server refused this one object; the text names the object."""


@dataclass(frozen=True)
class Outcome:
    kind: str
    name: str
    action: str
    """created, changed, unchanged or deleted."""
    fields: tuple[str, ...] = ()
    before: Definition | None = None
    after: Definition | None = None

    @property
    def moved(self) -> bool:
        return self.action != "unchanged"


@dataclass(frozen=True)
class Scope:
    """Which objects are a cluster's: a namespace, its label, and the label of what the play owns."""

    namespace: str
    selector: Mapping[str, str]
    owned: Mapping[str, str] = field(default_factory=dict)

    def query(self) -> dict[str, str]:
        return {"labelSelector": ",".join(f"{name}={value}" for name, value in self.selector.items())}

    def owns(self, live: Definition) -> bool:
        """Controllers copy labels to what they make (Endpoints of a Service), so the field manager counts as well."""
        return bool(self.owned) and _has_labels(live, {**self.selector, **self.owned}) and _is_managed(live)

    def lost_label(self, live: Definition) -> bool:
        """Ours all the same: somebody removed its label by hand. One of another prefix has not lost it."""
        labels = live["metadata"].get("labels") or {}
        return not set(self.selector) & set(labels) and not _is_of_play(labels) and _is_managed(live)


def _is_managed(live: Definition) -> bool:
    return FIELD_MANAGER in {entry.get("manager") for entry in live["metadata"].get("managedFields") or ()}


def _is_of_play(labels: Mapping[str, str]) -> bool:
    """Whether these are the labels of a cluster's object, by whatever prefix."""
    prefixes = [name.removesuffix("cluster") for name in labels if name.endswith("/cluster")]
    return any(labels.get(f"{prefix}applied-by") == "play" for prefix in prefixes)


def _has_labels(live: Definition, labels: Mapping[str, str]) -> bool:
    found = live["metadata"].get("labels") or {}
    return all(found.get(name) == value for name, value in labels.items())


def in_parallel(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Results in order; the first failure is raised after every call has ended."""
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return list(pool.map(function, items))


def observe(api: Api, scope: Scope, kinds: Sequence[str], definitions: Sequence[Definition] = ()) -> Live:
    """Live objects by label, and those that bear a declared name without the label.

    Raises Refused for the latter: applying would take over somebody else's object.
    """

    def listed(kind: str) -> list[dict[str, Any]]:
        try:
            found = api.request("GET", path(kind, scope.namespace), query=scope.query())
        except ApiError as error:
            # Nobody has such objects where the kind is not installed; who may not see them has made none.
            if kind in CUSTOM_KINDS and error.status in (403, 404):
                return []
            raise
        # Items of a list do not say what they are.
        return [{**item, "apiVersion": found["apiVersion"], "kind": kind} for item in found["items"]]

    live: Live = {key_of(item): item for items in in_parallel(listed, kinds) for item in items}
    unseen = [definition for definition in definitions if key_of(definition) not in live]
    unlabelled = [found for found in in_parallel(lambda each: read(api, each), unseen) if found is not None]
    live.update({key_of(each): each for each in unlabelled if scope.lost_label(each)})
    foreign = [each for each in unlabelled if not scope.lost_label(each)]
    if foreign:
        names = ", ".join(f"{found['kind']} {found['metadata']['name']}" for found in foreign)
        label = ", ".join(f"{name}={value}" for name, value in scope.selector.items())
        raise Refused(
            f"already there without the label {label}: {names} in namespace {scope.namespace}. They belong to "
            "something else. Choose another postgres_cluster_name, or give them the label to hand them over."
        )
    return live


def read(api: Api, definition: Definition) -> dict[str, Any] | None:
    try:
        return api.request("GET", path_of(definition))
    except ApiError as error:
        if error.status == 404:
            return None
        raise


def apply_all(api: Api, definitions: Sequence[Definition], live: Live, check: bool) -> list[Outcome]:
    """Apply in waves; afterwards `live` holds what is there now (in check mode: what would be)."""
    outcomes = list[Outcome]()
    for wave in WAVES:
        chosen = [resolved(each, live) for each in definitions if each["kind"] in wave]
        done = in_parallel(lambda each: apply(api, each, live.get(key_of(each)), check), chosen)
        live.update({(each.kind, each.name): dict(each.after) for each in done if each.after})
        outcomes += done
    return outcomes


def apply(api: Api, definition: Definition, live: Definition | None, check: bool) -> Outcome:
    """Server-side apply of one object. Raises Refused with the API server's reason."""
    if check and (live is None or _has_later(definition)):
        return _foreseen(api, definition, live, _tried)
    query = {"fieldManager": FIELD_MANAGER, "force": "true", **({"dryRun": "All"} if check else {})}
    try:
        exact = exact_patch(definition, live) if live else None
        if exact is not None:
            after = api.request("PATCH", path_of(definition), exact, _manager(check), JSON_PATCH)
            if check:
                return _compared(definition, live, after)
        after = api.request("PATCH", path_of(definition), definition, query, APPLY)
    except ApiError as error:
        raise Refused(_refusal(definition, error)) from None
    return _compared(definition, live, after)


def create_once(api: Api, definition: Definition, live: Definition | None, check: bool) -> Outcome:
    """For objects that the agents own from their first second: made when missing, never touched again."""
    kind, name = key_of(definition)
    if live is not None:
        return Outcome(kind, name, "unchanged", after=live)
    if check:
        return _foreseen(api, definition, None, _made)
    try:
        after = api.request("POST", path_of(definition, collection=True), definition, _manager(False))
    except ApiError as error:
        raise Refused(_refusal(definition, error)) from None
    return Outcome(kind, name, "created", after=after)


def _manager(check: bool) -> dict[str, str]:
    return {"fieldManager": FIELD_MANAGER, **({"dryRun": "All"} if check else {})}


def _tried(api: Api, definition: Definition) -> Definition:
    """As the run does it: a POST takes a field that nobody knows for nothing worse than a warning."""
    query = {"fieldManager": FIELD_MANAGER, "force": "true", "dryRun": "All"}
    return api.request("PATCH", path_of(definition), definition, query, APPLY)


def _made(api: Api, definition: Definition) -> Definition:
    return api.request("POST", path_of(definition, collection=True), definition, _manager(True))


def _foreseen(
    api: Api, definition: Definition, live: Definition | None, attempt: Callable[[Api, Definition], Definition]
) -> Outcome:
    """What a run would do: the API server's word where it can give one, else the declaration itself."""
    kind, name = key_of(definition)
    after: Definition = definition
    if not _has_later(definition):
        try:
            after = _without_invented_addresses(definition, attempt(api, definition))
        except ApiError as error:
            # What it depends on is not there yet (403, 404); anything else would fail in the run as well.
            if error.status not in (403, 404):
                raise Refused(_refusal(definition, error)) from None
    if live is None:
        return Outcome(kind, name, "created", after=after)
    metadata = {**live["metadata"], **definition["metadata"]}
    metadata["labels"] = {**(live["metadata"].get("labels") or {}), **(definition["metadata"].get("labels") or {})}
    merged = {**live, **definition, "metadata": metadata}
    if "data" in definition:
        merged["data"] = {**(live.get("data") or {}), **definition["data"]}
    return Outcome(kind, name, "changed", tuple(changed_fields(live, merged)), live, merged)


def _without_invented_addresses(definition: Definition, dry: Definition) -> Definition:
    """A dry run allocates nothing: addresses and node ports in its answer are not those that a run would get."""
    if definition["kind"] != "Service":
        return dry
    spec, declared = dict(dry["spec"]), definition["spec"]
    if "clusterIP" not in declared and "clusterIP" in spec:
        spec.update(clusterIP=LATER, **({"clusterIPs": [LATER]} if "clusterIPs" in spec else {}))
    asked = {port["port"]: port.get("nodePort") for port in declared.get("ports") or ()}
    if "ports" in spec:
        spec["ports"] = [
            {**port, "nodePort": LATER} if port.get("nodePort") and not asked.get(port["port"]) else port
            for port in spec["ports"]
        ]
    return {**dry, "spec": spec}


def _compared(definition: Definition, live: Definition | None, after: Definition) -> Outcome:
    kind, name = key_of(definition)
    if live is None:
        return Outcome(kind, name, "created", after=after)
    fields = tuple(each for each in changed_fields(live, after) if not _of_controller(each, definition))
    if not fields and _applied_fields(live) != _applied_fields(after):
        # Somebody edited a field and put it back: its value stayed, its owner changed, and so the object moved.
        fields = ("metadata.managedFields",)
    return Outcome(kind, name, "changed" if fields else "unchanged", fields, live, after)


def _applied_fields(live: Definition) -> list[Any]:
    entries = live["metadata"].get("managedFields") or ()
    return [
        each.get("fieldsV1")
        for each in entries
        if each.get("manager") == FIELD_MANAGER and each.get("operation") == "Apply" and not each.get("subresource")
    ]


def _of_controller(field_path: str, definition: Definition) -> bool:
    """Whether a controller may have written this since the object was listed (a volume's binding, its notes)."""
    annotations = definition["metadata"].get("annotations") or {}
    note = re.fullmatch(r"metadata\.annotations(\.|\[\")(.*?)(\"\])?", field_path)
    return field_path == "spec.volumeName" or (note is not None and note[2] not in annotations)


def _refusal(definition: Definition, error: ApiError) -> str:
    metadata = definition["metadata"]
    return f"{definition['kind']} {metadata['name']} in namespace {metadata['namespace']}: {error.message}"


def resolved(value: Any, live: Live) -> Any:
    """The definition with references replaced by what the objects of earlier waves got."""
    if isinstance(value, Mapping):
        return {name: resolved(each, live) for name, each in value.items()}
    if isinstance(value, list):
        return [resolved(each, live) for each in value]
    if isinstance(value, str) and (found := REFERENCE.fullmatch(value)):
        target: Any = live.get((found["kind"], found["name"]), {})
        for name in found["field"].split("."):
            target = target.get(name, {}) if isinstance(target, Mapping) else {}
        return target or LATER
    return value


def _has_later(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_later, value.values()))
    if isinstance(value, list):
        return any(map(_has_later, value))
    return bool(value == LATER)


def surplus(live: Live, scope: Scope, wanted: Iterable[tuple[str, str]], purge: bool) -> list[dict[str, Any]]:
    """Objects of ours that are no longer declared; volumes only when they are to be purged."""
    keep = set(wanted)
    kinds = set(APPLIED_KINDS) - (set() if purge else {"PersistentVolumeClaim"})
    ours = [item for key, item in sorted(live.items()) if key[0] in kinds and key not in keep and scope.owns(item)]
    return [item for item in ours if not by_controller(item)]


def by_controller(live: Definition) -> bool:
    """A slice that Kubernetes made for a Service, or mirrored from Endpoints, with all their labels."""
    manager = (live["metadata"].get("labels") or {}).get(MANAGED_BY, "")
    return bool(live["kind"] == "EndpointSlice" and manager.endswith(".k8s.io"))


def delete(api: Api, item: Definition, check: bool) -> Outcome:
    """Delete exactly the object that was seen; one that is gone already is fine."""
    kind, name = key_of(item)
    metadata = item["metadata"]
    options = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": "Background",
        "preconditions": {"uid": metadata["uid"]},
        **({"dryRun": ["All"]} if check else {}),
    }
    try:
        api.request("DELETE", path(kind, metadata["namespace"], name), options)
    except ApiError as error:
        if error.status != 404:
            raise Refused(_refusal(item, error)) from None
    return Outcome(kind, name, "deleted", before=item)
