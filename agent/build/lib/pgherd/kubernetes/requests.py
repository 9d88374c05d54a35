"""Requests to the agents as annotations of ConfigMap `<cluster>-ha-failover`: ours, and Patroni's trigger."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from lightkube.core.async_client import AsyncClient
from lightkube.resources.core_v1 import ConfigMap

from pgherd.kubernetes.annotated import OneObject
from pgherd.kubernetes.failover_keys import KEYS, keyed
from pgherd.kubernetes.follow import Report, follow
from pgherd.kubernetes.request_text import key, read, write
from pgherd.kubernetes.store import RequestsSeen, spent
from pgherd.model.request import Request


def requests_seen(item: ConfigMap | None) -> RequestsSeen:
    if item is None or item.metadata is None:
        return RequestsSeen()
    annotations = item.metadata.annotations or {}
    found, wrong = read(annotations)
    asked = keyed(annotations, {request.id: request for request in found})
    if asked is None:
        return RequestsSeen(item.metadata.resourceVersion or "", found, wrong)
    if asked.finished:
        wrong = (*wrong, f"annotations {', '.join(KEYS)}: {asked.reason}")
    if asked not in found:
        found = (*found, asked)
    return RequestsSeen(item.metadata.resourceVersion or "", found, wrong, asked.id)


class ConfigMapRequests:
    """RequestStore."""

    SILENCE = 60.0
    """Seconds without a change after which the object is read again."""

    def __init__(self, client: AsyncClient, name: str, report: Report) -> None:
        self._object, self._report = OneObject(client, ConfigMap, "configmap", name), report

    async def read(self, limit: float) -> RequestsSeen:
        return requests_seen(await self._object.read(limit))

    async def write(self, changes: Mapping[str, Request | None], seen: RequestsSeen, limit: float) -> RequestsSeen:
        annotations = {key(name): each and write(each) for name, each in changes.items()}
        if spent(seen, changes):
            annotations |= dict.fromkeys(KEYS)
        body = {"metadata": {"resourceVersion": seen.version, "annotations": annotations}}
        return requests_seen(await self._object.patch(body, limit))

    async def follow(self) -> AsyncIterator[RequestsSeen]:
        async for item in follow(self._object, lambda: self.SILENCE, self._report):
            yield requests_seen(item)
