"""Lock and configuration as annotations of one named object, whatever kind of object that is.

One merge patch writes the annotations and the routing address together, with `metadata.resourceVersion` as
its precondition: the API server answers 409 when the object has moved on (a patch without it would be
retried by the server and would overwrite). A missing object is made with a create, which answers 409 when there is one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any

import msgspec
from lightkube.core.async_client import AsyncClient
from lightkube.types import PatchType

from pgherd.kubernetes.client import asking
from pgherd.kubernetes.follow import LIST_LIMIT, Report, closing, follow
from pgherd.kubernetes.store import ConfigSeen, LockSeen, Refused
from pgherd.model.lease import Lease, MalformedLease, from_annotations, to_annotations

PORT_NAME = "postgres"


class Kind(msgspec.Struct, frozen=True):
    """A kind of object that can carry the lock: how it says where clients go."""

    resource: Any
    """lightkube's class."""
    noun: str
    """As error texts name it."""
    address: Callable[[Any], str | None]
    """The primary's address that an object names; the agents never write more than one."""
    routing: Callable[[Lease, str, int], dict[str, Any]]
    """(record, namespace, port) -> the fields that name the record's address, or none."""
    frame: Callable[[str], dict[str, Any]]
    """(name of the Service) -> what a new object has besides: labels, immutable fields."""


class OneObject:
    """One named object: read, patch, create, and a source for `follow` (list + watch by field selector)."""

    def __init__(self, client: AsyncClient, resource: Any, noun: str, name: str) -> None:
        self._client, self._resource, self._noun, self._name = client, resource, noun, name
        self._fields: dict[str, Any] = {"metadata.name": name}

    async def read(self, limit: float) -> Any | None:
        try:
            async with asking(f"get {self._noun} {self._name}", limit):
                return await self._client.get(self._resource, self._name)
        except Refused as error:
            if error.status == 404:
                return None
            raise

    async def patch(self, body: Mapping[str, Any], limit: float) -> Any:
        async with asking(f"patch {self._noun} {self._name}", limit):
            return await self._client.patch(self._resource, self._name, dict(body), patch_type=PatchType.MERGE)

    async def create(self, body: Mapping[str, Any], limit: float) -> Any:
        async with asking(f"create {self._noun} {self._name}", limit):
            return await self._client.create(msgspec.convert(dict(body), self._resource))

    async def begin(self) -> tuple[Any | None, str]:
        # A list, because its own resourceVersion is the present one: an object that nobody changed
        # for minutes has a version that is too old to watch from (410).
        async with asking(f"list {self._noun} {self._name}", LIST_LIMIT):
            found = self._client.list(self._resource, fields=self._fields)
            items = [item async for item in found]
            return (items[0] if items else None), found.resourceVersion

    async def changes(self, version: str) -> AsyncGenerator[Any | None, None]:
        watch = self._client.watch(self._resource, fields=self._fields, resource_version=version)
        async with closing(watch) as events:
            async for kind, item in events:
                if kind != "BOOKMARK":
                    yield None if kind == "DELETED" else item


def lock_seen(item: Any | None, address: Callable[[Any], str | None]) -> LockSeen:
    """What an object says as the lock. A missing or malformed one is an accident, never "free"."""
    if item is None or item.metadata is None:
        return LockSeen(None, trouble="the lock object is missing")
    version = item.metadata.resourceVersion or ""
    try:
        return LockSeen(from_annotations(item.metadata.annotations or {}, address(item)), version)
    except MalformedLease as error:
        return LockSeen(None, version, f"the lock object is malformed: {error}")


def config_seen(item: Any | None) -> ConfigSeen:
    if item is None or item.metadata is None:
        return ConfigSeen()
    annotations = item.metadata.annotations or {}
    return ConfigSeen(
        version=item.metadata.resourceVersion or "",
        initialize=annotations.get("initialize") or None,
        config=annotations.get("config") or None,
        history=annotations.get("history") or None,
    )


def target(record: Lease, namespace: str) -> dict[str, Any]:
    """The pod behind the address."""
    found = {"kind": "Pod", "namespace": namespace, "name": record.leader}
    if record.holder is not None and record.holder.uid:
        found["uid"] = record.holder.uid
    return found


class AnnotatedLock:
    """LockStore over `<cluster>-ha`. `writes` is a client of its own: a renewal never queues behind reads."""

    def __init__(
        self, reads: AsyncClient, writes: AsyncClient, kind: Kind, name: str, labels: Mapping[str, str], port: int,
        silence: Callable[[], float], report: Report,
    ) -> None:  # fmt: skip
        self._kind, self._name, self._labels, self._port = kind, name, labels, port
        self._reads = OneObject(reads, kind.resource, kind.noun, name)
        self._writes = OneObject(writes, kind.resource, kind.noun, name)
        self._namespace = str(writes.namespace)
        self._silence, self._report = silence, report

    async def read(self, limit: float) -> LockSeen:
        return lock_seen(await self._writes.read(limit), self._kind.address)

    async def write(self, record: Lease, version: str, limit: float) -> LockSeen:
        routing, annotations = self._kind.routing(record, self._namespace, self._port), to_annotations(record)
        if version:
            body = {"metadata": {"resourceVersion": version, "annotations": annotations}, **routing}
            return lock_seen(await self._writes.patch(body, limit), self._kind.address)
        kept = {key: value for key, value in annotations.items() if value is not None}
        metadata = {"name": self._name, "labels": dict(self._labels), "annotations": kept}
        return lock_seen(await self._writes.create(self._framed(metadata, routing), limit), self._kind.address)

    def _framed(self, metadata: dict[str, Any], routing: dict[str, Any]) -> dict[str, Any]:
        frame = self._kind.frame(self._name)
        labels = {**metadata["labels"], **frame.pop("labels", {})}
        return {"metadata": {**metadata, "labels": labels}, **frame, **routing}

    async def follow(self) -> AsyncIterator[LockSeen]:
        async for item in follow(self._reads, self._silence, self._report):
            yield lock_seen(item, self._kind.address)


class AnnotatedConfig:
    """ConfigStore over `<cluster>-ha-config`."""

    SILENCE = 60.0
    """Seconds: this object hardly ever changes."""

    def __init__(self, client: AsyncClient, resource: Any, noun: str, name: str, report: Report) -> None:
        self._object = OneObject(client, resource, noun, name)
        self._report = report

    async def read(self, limit: float) -> ConfigSeen:
        return config_seen(await self._object.read(limit))

    async def write(self, annotations: Mapping[str, str | None], version: str, limit: float) -> ConfigSeen:
        body = {"metadata": {"resourceVersion": version, "annotations": dict(annotations)}}
        return config_seen(await self._object.patch(body, limit))

    async def follow(self) -> AsyncIterator[ConfigSeen]:
        async for item in follow(self._object, lambda: self.SILENCE, self._report):
            yield config_seen(item)
