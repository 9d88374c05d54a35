"""Requests to the agents as annotations of ConfigMap `<cluster>-ha-failover`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

from lightkube.core.async_client import AsyncClient
from lightkube.resources.core_v1 import ConfigMap
from lightkube.types import PatchType

from pgherd.kubernetes.client import asking
from pgherd.kubernetes.endpoints import LIST_LIMIT
from pgherd.kubernetes.follow import Report, closing, follow
from pgherd.kubernetes.request_text import key, read, write
from pgherd.kubernetes.store import Refused, RequestsSeen
from pgherd.model.request import Request


def requests_seen(item: ConfigMap | None) -> RequestsSeen:
    if item is None or item.metadata is None:
        return RequestsSeen()
    found, wrong = read(item.metadata.annotations or {})
    return RequestsSeen(item.metadata.resourceVersion or "", found, wrong)


class ConfigMapRequests:
    """RequestStore."""

    SILENCE = 60.0
    """Seconds without a change after which the object is read again."""

    def __init__(self, client: AsyncClient, name: str, report: Report) -> None:
        self._client, self._name, self._report = client, name, report
        self._fields: dict[str, Any] = {"metadata.name": name}

    async def read(self, limit: float) -> RequestsSeen:
        try:
            async with asking(f"get configmap {self._name}", limit):
                return requests_seen(await self._client.get(ConfigMap, self._name))
        except Refused as error:
            if error.status == 404:
                return RequestsSeen()
            raise

    async def write(self, changes: Mapping[str, Request | None], version: str, limit: float) -> RequestsSeen:
        annotations = {key(name): each and write(each) for name, each in changes.items()}
        body = {"metadata": {"resourceVersion": version, "annotations": annotations}}
        async with asking(f"patch configmap {self._name}", limit):
            return requests_seen(await self._client.patch(ConfigMap, self._name, body, patch_type=PatchType.MERGE))

    async def begin(self) -> tuple[RequestsSeen, str]:
        async with asking(f"list configmap {self._name}", LIST_LIMIT):
            found = self._client.list(ConfigMap, fields=self._fields)
            items = [item async for item in found]
            return requests_seen(items[0] if items else None), found.resourceVersion

    async def changes(self, version: str) -> AsyncGenerator[RequestsSeen, None]:
        async with closing(self._client.watch(ConfigMap, fields=self._fields, resource_version=version)) as events:
            async for kind, item in events:
                if kind != "BOOKMARK":
                    yield requests_seen(None if kind == "DELETED" else item)

    async def follow(self) -> AsyncIterator[RequestsSeen]:
        async for seen in follow(self, lambda: self.SILENCE, self._report):
            yield seen
