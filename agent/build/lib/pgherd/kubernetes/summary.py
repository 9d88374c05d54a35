"""ConfigMap `<cluster>-status`: one document under one key, by plain patches: no decision reads it."""

from __future__ import annotations

from lightkube.core.async_client import AsyncClient
from lightkube.resources.core_v1 import ConfigMap

from pgherd.kubernetes.annotated import OneObject

KEY = "status.json"


class ConfigMapSummary:
    """SummaryStore."""

    def __init__(self, client: AsyncClient, name: str) -> None:
        self._object = OneObject(client, ConfigMap, "configmap", name)

    async def read(self, limit: float) -> str | None:
        found = await self._object.read(limit)
        return (found.data or {}).get(KEY) if found is not None else None

    async def write(self, text: str, limit: float) -> None:
        await self._object.patch({"data": {KEY: text}}, limit)
