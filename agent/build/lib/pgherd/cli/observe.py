"""One look at a cluster: lock, configuration and pods from the Kubernetes API at once, then every agent at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TypeVar

import msgspec

from pgherd.cli.target import Target
from pgherd.kubernetes.annotated import AnnotatedLock
from pgherd.kubernetes.client import connect
from pgherd.kubernetes.open import KINDS, open_config
from pgherd.kubernetes.pods import ClusterPods
from pgherd.kubernetes.requests import ConfigMapRequests
from pgherd.kubernetes.store import ConfigSeen, LockSeen, PodSeen, Refused, StoreError, UsersSeen
from pgherd.kubernetes.users import ConfigMapUsers
from pgherd.model.lease import Lease
from pgherd.model.member import MemberStatus, Pod
from pgherd.model.request import Request
from pgherd.model.settings import LOCKS, KubernetesSettings
from pgherd.rest.client import PeerClient

LIMIT = 5.0
"""Seconds for each request to the API."""


Store = TypeVar("Store")
Seen = TypeVar("Seen", LockSeen, ConfigSeen)


class NoCluster(Exception):
    """The API answers, and knows nothing of such a cluster."""


class Observation(msgspec.Struct, frozen=True):
    target: Target
    namespace: str
    lock: LockSeen
    config: ConfigSeen
    pods: tuple[PodSeen, ...] = ()
    answers: Mapping[str, MemberStatus | None] = {}
    """By member: its own words, None when it did not answer; no entry when it was not asked."""
    why: Mapping[str, str] = {}
    """By member that did not answer: what happened."""
    requests: tuple[Request, ...] = ()
    """What people asked for and is not finished."""


async def whichever(stores: list[Store], read: Callable[[Store], Awaitable[Seen]]) -> Seen:
    """Of the kinds that an object may have the first that is there: the only one from then on."""
    for store in tuple(stores):
        seen = await read(store)
        if seen.version:
            stores[:] = [store]
            break
    return seen


class Api:
    """What the commands read, and their few writes."""

    def __init__(self, target: Target) -> None:
        self._client = connect(KubernetesSettings(kubeconfig=target.kubeconfig), target.namespace)
        self.namespace = str(self._client.namespace)
        name, client, port = target.cluster, self._client, target.postgres_port
        modes = (target.lock,) if target.lock else LOCKS
        self._locks = [
            AnnotatedLock(client, client, KINDS[mode], f"{name}-ha", {}, port, lambda: LIMIT, _ignore) for mode in modes
        ]
        self._configs = [open_config(mode, client, f"{name}-ha-config", _ignore) for mode in modes]
        self.requests = ConfigMapRequests(self._client, f"{name}-ha-failover", _ignore)
        self._users = ConfigMapUsers(self._client, f"{name}-users", _ignore)
        self._pods = ClusterPods(self._client, name, target.label_prefix, _ignore)

    async def lock(self) -> LockSeen:
        return await whichever(self._locks, lambda lock: lock.read(LIMIT))

    async def config(self) -> ConfigSeen:
        return await whichever(self._configs, lambda config: config.read(LIMIT))

    async def pods(self) -> tuple[PodSeen, ...]:
        found, _ = await self._pods.begin()
        return found

    async def users(self) -> UsersSeen:
        return await self._users.read(LIMIT)

    async def asked(self) -> tuple[Request, ...]:
        """Who may not read the requests sees the rest all the same."""
        try:
            seen = await self.requests.read(LIMIT)
        except StoreError:
            return ()
        return tuple(request for request in seen.requests if not request.finished)

    async def write_config(self, annotations: Mapping[str, str | None], version: str) -> None:
        """Compare-and-swap of annotations of the configuration object, once it was read."""
        await self._configs[0].write(annotations, version, LIMIT)

    async def write_lock(self, record: Lease, version: str) -> None:
        """Compare-and-swap of the whole lock, once it was read: a person's word, never a member's."""
        await self._locks[0].write(record, version, LIMIT)

    async def close(self) -> None:
        await self._client.close()


def _ignore(text: str) -> None:
    """Nothing is watched here, so no watch is ever interrupted."""


@contextlib.asynccontextmanager
async def opened(target: Target) -> AsyncIterator[Api]:
    api = Api(target)
    try:
        yield api
    finally:
        await api.close()


async def look(target: Target) -> Observation:
    """Everything that the table shows. Raises InvalidSetting, StoreError, NoCluster."""
    async with opened(target) as api:
        lock, config, pods, asked = await asyncio.gather(api.lock(), api.config(), api.pods(), api.asked())
        _exists(target, api.namespace, lock, config, pods)
        observation = Observation(target, api.namespace, lock, config, pods, requests=asked)
    if target.certificates is None:
        return observation
    answers, why = await _ask(target, target.certificates, tuple(seen.pod for seen in pods))
    return msgspec.structs.replace(observation, answers=answers, why=why)


async def read(target: Target) -> Observation:
    """Lock and configuration only. Raises InvalidSetting, StoreError, NoCluster."""
    async with opened(target) as api:
        lock, config = await asyncio.gather(api.lock(), api.config())
        _exists(target, api.namespace, lock, config, ())
        return Observation(target, api.namespace, lock, config)


async def users(target: Target) -> UsersSeen:
    """Declared users and databases with the agents' report. Raises InvalidSetting, StoreError, NoCluster."""
    async with opened(target) as api:
        seen = await api.users()
        if not seen.version:
            raise NoCluster(f"there is no ConfigMap {target.cluster}-users in namespace {api.namespace}")
        return seen


def _exists(target: Target, namespace: str, lock: LockSeen, config: ConfigSeen, pods: tuple[PodSeen, ...]) -> None:
    if lock.record is None and not lock.version and not config.version and not pods:
        raise NoCluster(f"there is no cluster {target.cluster} in namespace {namespace} (no {target.cluster}-ha)")


async def _ask(
    target: Target, certificates: str, pods: tuple[Pod, ...]
) -> tuple[dict[str, MemberStatus | None], dict[str, str]]:
    client = PeerClient(target.cluster, certificates, target.rest_port)
    try:
        return await client.ask(pods), dict(client.why)
    finally:
        await client.aclose()


def explain(error: Exception) -> str:
    """One sentence for a person."""
    if isinstance(error, Refused) and error.status == 0:
        return f"the Kubernetes API cannot be reached: {error}"
    return str(error)
