"""The lock and the configuration object as Endpoints (https://kubernetes.io/docs/reference/kubernetes-api/service-resources/endpoints-v1/).

One merge patch writes the annotations and the routing address together, with `metadata.resourceVersion` as
its precondition: the API server answers 409 when the object has moved on (a patch without it would be
retried by the server and would overwrite). Endpoints are deprecated since Kubernetes 1.33; the API server
says so in a Warning header, which changes nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any

from lightkube.core.async_client import AsyncClient
from lightkube.resources.core_v1 import Endpoints
from lightkube.types import PatchType

from pgherd.kubernetes.client import asking
from pgherd.kubernetes.follow import Report, closing, follow
from pgherd.kubernetes.store import ConfigSeen, LockSeen, Refused
from pgherd.model.lease import Lease, MalformedLease, from_annotations, to_annotations

LIST_LIMIT = 5.0
"""Seconds for the list that begins a watch."""

PORT_NAME = "postgres"


def _address(item: Endpoints) -> str | None:
    """The first routed address; the agents never write more than one."""
    addresses = itertools.chain.from_iterable(subset.addresses or () for subset in item.subsets or ())
    return next((address.ip for address in addresses), None)


def lock_seen(item: Endpoints | None) -> LockSeen:
    """What an Endpoints object says as the lock. A missing or malformed one is an accident, never "free"."""
    if item is None or item.metadata is None:
        return LockSeen(None, trouble="the lock object is missing")
    version = item.metadata.resourceVersion or ""
    try:
        return LockSeen(from_annotations(item.metadata.annotations or {}, _address(item)), version)
    except MalformedLease as error:
        return LockSeen(None, version, f"the lock object is malformed: {error}")


def config_seen(item: Endpoints | None) -> ConfigSeen:
    if item is None or item.metadata is None:
        return ConfigSeen()
    annotations = item.metadata.annotations or {}
    return ConfigSeen(
        version=item.metadata.resourceVersion or "",
        initialize=annotations.get("initialize") or None,
        config=annotations.get("config") or None,
        history=annotations.get("history") or None,
    )


def routing(record: Lease, namespace: str, port: int) -> list[dict[str, Any]] | None:
    """`subsets` that route the Service to the record's address; None removes them all."""
    if record.address is None:
        return None
    target = {"kind": "Pod", "namespace": namespace, "name": record.leader}
    if record.holder is not None:
        target["uid"] = record.holder.uid
    return [
        {
            "addresses": [{"ip": record.address, "targetRef": target}],
            "ports": [{"name": PORT_NAME, "port": port, "protocol": "TCP"}],
        }
    ]


class _OneEndpoints:
    """One named Endpoints object: read, patch, and a source for `follow` (list + watch by field selector)."""

    def __init__(self, client: AsyncClient, name: str) -> None:
        self._client = client
        self._name = name
        self._fields: dict[str, Any] = {"metadata.name": name}

    async def read(self, limit: float) -> Endpoints | None:
        try:
            async with asking(f"get endpoints {self._name}", limit):
                return await self._client.get(Endpoints, self._name)
        except Refused as error:
            if error.status == 404:
                return None
            raise

    async def patch(self, body: Mapping[str, Any], limit: float) -> Endpoints:
        async with asking(f"patch endpoints {self._name}", limit):
            return await self._client.patch(Endpoints, self._name, dict(body), patch_type=PatchType.MERGE)

    async def begin(self) -> tuple[Endpoints | None, str]:
        # A list, because its own resourceVersion is the present one: an object that nobody changed
        # for minutes has a version that is too old to watch from (410).
        async with asking(f"list endpoints {self._name}", LIST_LIMIT):
            found = self._client.list(Endpoints, fields=self._fields)
            items = [item async for item in found]
            return (items[0] if items else None), found.resourceVersion

    async def changes(self, version: str) -> AsyncGenerator[Endpoints | None, None]:
        async with closing(self._client.watch(Endpoints, fields=self._fields, resource_version=version)) as events:
            async for kind, item in events:
                if kind != "BOOKMARK":
                    yield None if kind == "DELETED" else item


class EndpointsLock:
    """LockStore over Endpoints `<cluster>-ha`. `writes` is a client of its own: a renewal never queues behind reads."""

    def __init__(
        self, reads: AsyncClient, writes: AsyncClient, name: str, port: int,
        silence: Callable[[], float], report: Report,
    ) -> None:  # fmt: skip
        self._reads = _OneEndpoints(reads, name)
        self._writes = _OneEndpoints(writes, name)
        self._namespace = str(writes.namespace)
        self._port = port
        self._silence = silence
        self._report = report

    async def read(self, limit: float) -> LockSeen:
        return lock_seen(await self._writes.read(limit))

    async def write(self, record: Lease, version: str, limit: float) -> LockSeen:
        body = {
            "metadata": {"resourceVersion": version, "annotations": to_annotations(record)},
            "subsets": routing(record, self._namespace, self._port),
        }
        return lock_seen(await self._writes.patch(body, limit))

    async def follow(self) -> AsyncIterator[LockSeen]:
        async for item in follow(self._reads, self._silence, self._report):
            yield lock_seen(item)


class EndpointsConfig:
    """ConfigStore over Endpoints `<cluster>-ha-config`."""

    SILENCE = 60.0
    """Seconds: this object hardly ever changes."""

    def __init__(self, client: AsyncClient, name: str, report: Report) -> None:
        self._object = _OneEndpoints(client, name)
        self._report = report

    async def read(self, limit: float) -> ConfigSeen:
        return config_seen(await self._object.read(limit))

    async def write(self, annotations: Mapping[str, str | None], version: str, limit: float) -> ConfigSeen:
        body = {"metadata": {"resourceVersion": version, "annotations": dict(annotations)}}
        return config_seen(await self._object.patch(body, limit))

    async def follow(self) -> AsyncIterator[ConfigSeen]:
        async for item in follow(self._object, lambda: self.SILENCE, self._report):
            yield config_seen(item)
