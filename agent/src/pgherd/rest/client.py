"""Asking other members what they say of themselves: GET /member, all at once, each within a hard time limit.

Dialled by pod IP, so that no name service is needed while the cluster is in trouble; the certificate must name
the member all the same (`<member>.<cluster>-pods`), so an address that another pod took over is not believed.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from pathlib import Path

import httpx2
import msgspec

from pgherd.model.member import MemberStatus, Pod
from pgherd.rest.certificates import Signature, client_context, signature

TIMEOUT = 1.0
KEPT = 60.0
"""Seconds that an idle connection is kept; the server keeps it longer."""

_STALE = (httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError)
"""A kept connection that the peer closed just now."""


class PeerClient:
    """Keeps connections between polls; `why` says what went wrong with each member that did not answer last."""

    def __init__(self, cluster: str, certificates: Path | str, port: int = 8008, limit: float = TIMEOUT) -> None:
        self._cluster, self._port, self._limit = cluster, port, limit
        self._folder = Path(certificates)
        self._client: httpx2.AsyncClient | None = None
        self._signature: Signature | None = None
        self.why: dict[str, str] = {}

    async def ask(self, pods: Iterable[Pod]) -> dict[str, MemberStatus | None]:
        """By member: its words, or None when it did not say them within the time limit. Never raises for a peer."""
        asked = tuple(pods)
        try:
            client = await self._open()
        except (OSError, ssl.SSLError) as error:
            self.why = {pod.member: f"no usable certificates in {self._folder}: {error}" for pod in asked}
            return dict.fromkeys(self.why)
        self.why = {}
        answers = await asyncio.gather(*(self._one(client, pod) for pod in asked))
        return dict(zip((pod.member for pod in asked), answers, strict=True))

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _open(self) -> httpx2.AsyncClient:
        """The client, made anew when the certificates changed."""
        found = signature(self._folder)
        if self._client is None or found != self._signature:
            context = client_context(self._folder)
            await self.aclose()
            self._client = httpx2.AsyncClient(
                verify=context,
                trust_env=False,
                timeout=self._limit,
                limits=httpx2.Limits(keepalive_expiry=KEPT),
            )
            self._signature = found
        return self._client

    async def _one(self, client: httpx2.AsyncClient, pod: Pod) -> MemberStatus | None:
        try:
            async with asyncio.timeout(self._limit):
                return self._believed(pod, await self._get(client, pod))
        except TimeoutError:
            self.why[pod.member] = f"no answer within {self._limit:g} s"
        except Exception as error:  # whatever one peer does, the others' answers count
            self.why[pod.member] = str(error) or type(error).__name__
        return None

    async def _get(self, client: httpx2.AsyncClient, pod: Pod) -> bytes:
        if not pod.address:
            raise ValueError("the pod has no address")
        host = f"[{pod.address}]" if ":" in pod.address else pod.address
        url, names = f"https://{host}:{self._port}/member", {"sni_hostname": f"{pod.member}.{self._cluster}-pods"}
        try:
            answer = await client.get(url, extensions=names)
        except _STALE:
            answer = await client.get(url, extensions=names)
        if answer.status_code != 200:
            raise ValueError(f"GET /member answered {answer.status_code}")
        return answer.content

    @staticmethod
    def _believed(pod: Pod, body: bytes) -> MemberStatus:
        status = msgspec.json.decode(body, type=MemberStatus)
        if (status.member, status.uid) != (pod.member, pod.uid):
            raise ValueError(f"the answer is of {status.member} (pod UID {status.uid})")
        return status


async def ask(
    pods: Iterable[Pod], certificates: Path | str, port: int, cluster: str, limit: float = TIMEOUT
) -> dict[str, MemberStatus | None]:
    """One poll without kept connections, `limit` seconds for each peer."""
    client = PeerClient(cluster, certificates, port, limit)
    try:
        return await client.ask(pods)
    finally:
        await client.aclose()
