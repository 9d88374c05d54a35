"""Connections to the API server, and the translation of what goes wrong into the seam's errors."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx2
import msgspec
from lightkube.config.client_adapter import verify_cluster
from lightkube.config.kubeconfig import KubeConfig
from lightkube.config.models import User
from lightkube.core.async_client import AsyncClient
from lightkube.core.exceptions import ApiError, ConfigError

from pgherd.kubernetes.store import Conflict, Refused, Unanswered
from pgherd.model.settings import InvalidSetting, KubernetesSettings

HASTY = 1.0
"""Seconds: a watch that ends sooner, without a word, is broken."""
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)
"""The request never left: a definite no."""


def connect(settings: KubernetesSettings, namespace: str) -> AsyncClient:
    """A client with connections of its own. Raises InvalidSetting when there is no way to authenticate.

    In a pod the service account is used; lightkube reads its token again when the API no longer accepts it.
    Proxies of the environment are not for us: the API server is always dialled directly.
    """
    try:
        if settings.kubeconfig is not None:
            config = KubeConfig.from_file(Path(settings.kubeconfig)).get()
        else:
            config = KubeConfig.from_service_account().get()
        if config is None:
            raise ConfigError("it names no context")
        verify = verify_cluster(config.cluster, config.user or User(), config.abs_file, trust_env=False)
    except (ConfigError, KeyError, OSError) as error:
        raise InvalidSetting(
            f"kubernetes.kubeconfig={settings.kubeconfig!r}: no access to the Kubernetes API: {error}"
            " (expected a pod's service account, or the path of a kubeconfig)"
        ) from None
    transport = Paced(httpx2.AsyncHTTPTransport(verify=verify, trust_env=False))
    return AsyncClient(
        config=config, namespace=namespace, timeout=httpx2.Timeout(10.0), trust_env=False, transport=transport
    )  # fmt: skip


class Paced(httpx2.AsyncBaseTransport):
    """Refuses a watch that is asked for again at once, so that `follow` lists and pauses.

    The client library asks again by itself when the server ends a watch, without any pause: a proxy that ends each of
    them would be asked hundreds of times a second.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport, clock: Callable[[], float] = time.monotonic) -> None:
        self._inner, self._clock = inner, clock
        self._begun: dict[tuple[str, str | None, str | None], float] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        asked = request.url.params
        if asked.get("watch") == "true":
            key, now = (request.url.path, asked.get("fieldSelector"), asked.get("labelSelector")), self._clock()
            if now - self._begun.get(key, -HASTY) < HASTY:
                raise httpx2.ReadError("the watch ended at once", request=request)
            self._begun[key] = now
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


def _status_error(what: str, status: int, text: str) -> Conflict | Refused | Unanswered:
    if status == 409:
        return Conflict(f"{what}: {text}")
    if 400 <= status < 500 and status != 408:
        return Refused(status, f"{what}: {status} {text}")
    # 500 and more may hide a write that etcd did: only reading it back tells.
    return Unanswered(f"{what}: {status} {text}")


@contextlib.asynccontextmanager
async def asking(what: str, limit: float) -> AsyncIterator[None]:
    """One request: bounded by `limit` seconds, its failures turned into Conflict, Refused or Unanswered."""
    try:
        async with asyncio.timeout(limit):
            yield
    except TimeoutError:
        raise Unanswered(f"{what}: no answer within {limit:g} s") from None
    except ApiError as error:
        raise _status_error(what, int(error.status.code or 0), str(error.status.message)) from error
    except httpx2.HTTPStatusError as error:
        raise _status_error(what, error.response.status_code, error.response.reason_phrase) from error
    except _NOT_SENT as error:
        raise Refused(0, f"{what}: cannot connect: {error or type(error).__name__}") from error
    except httpx2.HTTPError as error:
        raise Unanswered(f"{what}: {type(error).__name__} {error}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Unanswered(f"{what}: not a Kubernetes answer: {error}") from error
    except OSError as error:
        raise Unanswered(f"{what}: {error}") from error
