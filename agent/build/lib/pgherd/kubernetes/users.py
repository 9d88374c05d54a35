"""The declaration of users and databases (ConfigMap `<cluster>-users`), and the Secrets that it names.

An agent may read exactly these Secrets and writes none of them. Its report is an annotation of the ConfigMap, which the
play, who owns the rest, leaves alone.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator, Callable

from lightkube.core.async_client import AsyncClient
from lightkube.resources.core_v1 import ConfigMap, Secret

from pgherd.kubernetes.annotated import OneObject
from pgherd.kubernetes.follow import Report, follow
from pgherd.kubernetes.store import UsersSeen
from pgherd.model.access import SecretSeen

KEY = "users"
"""Of the ConfigMap's data."""
STATUS = "status"
"""Annotation of the report."""
SILENCE = 60.0
"""Seconds without a change after which an object is read again."""


def users_seen(item: ConfigMap | None) -> UsersSeen:
    if item is None or item.metadata is None:
        return UsersSeen()
    annotations = item.metadata.annotations or {}
    return UsersSeen(item.metadata.resourceVersion or "", (item.data or {}).get(KEY, ""), annotations.get(STATUS))


def secret_seen(item: Secret | None) -> SecretSeen | None:
    """Values that are no base64 are left out: the API server takes none, and a message would repeat them."""
    if item is None or item.metadata is None:
        return None
    data = {}
    for key, value in (item.data or {}).items():
        try:
            data[key] = base64.b64decode(value, validate=True)
        except binascii.Error:
            continue
    return SecretSeen(item.metadata.resourceVersion or "", data)


class ConfigMapUsers:
    """UsersStore."""

    def __init__(self, client: AsyncClient, name: str, report: Report) -> None:
        self._object, self._report = OneObject(client, ConfigMap, "configmap", name), report

    async def read(self, limit: float) -> UsersSeen:
        return users_seen(await self._object.read(limit))

    async def report(self, report: str, version: str, limit: float) -> UsersSeen:
        body = {"metadata": {"resourceVersion": version, "annotations": {STATUS: report}}}
        return users_seen(await self._object.patch(body, limit))

    async def follow(self) -> AsyncIterator[UsersSeen]:
        async for item in follow(self._object, lambda: SILENCE, self._report):
            yield users_seen(item)


class NamedSecrets:
    """SecretStore. `report` makes a reporter for each Secret."""

    def __init__(self, client: AsyncClient, report: Callable[[], Report]) -> None:
        self._client, self._report = client, report

    async def follow(self, name: str) -> AsyncIterator[SecretSeen | None]:
        source = OneObject(self._client, Secret, "secret", name)
        async for item in follow(source, lambda: SILENCE, self._report()):
            yield secret_seen(item)
