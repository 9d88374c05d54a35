"""Asking other members, all at once, each within a hard time limit: what they say of themselves (GET /member), and for
a promise (POST /promise).

Dialled by pod IP, so that no name service is needed while the cluster is in trouble; the certificate must name
the member all the same (`<member>.<cluster>-pods`), so an address that another pod took over is not believed.

HTTP by h11 over asyncio's streams: what a frozen peer leaves half open is dropped for certain when time is up.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import h11
import msgspec

from pgherd.model.member import MemberStatus, Pod
from pgherd.model.promises import Question, Verdict
from pgherd.rest.certificates import client_context
from pgherd.tls.pair import Signature, signature

Word = TypeVar("Word", MemberStatus, Verdict)
Heard = Callable[[Pod, MemberStatus | None], None]

TIMEOUT = 1.0
LARGEST = 1 << 20
"""Bytes of an answer; a member's words take a few hundred."""


class Unbelievable(Exception):
    """An answer that is not the asked member's words."""


class Asking(msgspec.Struct, frozen=True):
    """One request."""

    method: str
    path: str
    body: bytes = b""


MEMBER = Asking("GET", "/member")


class Connection:
    """One kept connection to a peer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str) -> None:
        self._reader, self._writer, self.address = reader, writer, address
        self._http = h11.Connection(h11.CLIENT)

    @property
    def usable(self) -> bool:
        idle = self._http.our_state is h11.IDLE
        return idle and not self._reader.at_eof() and not self._writer.is_closing()

    def drop(self) -> None:
        """At once: a peer that is frozen never takes part in closing."""
        self._writer.transport.abort()

    async def send(self, asking: Asking) -> tuple[int, bytes]:
        """Status and body. Raises ConnectionError, h11.RemoteProtocolError, Unbelievable."""
        headers = [("Host", self.address), ("Accept", "application/json"), ("Content-Length", str(len(asking.body)))]
        ask = h11.Request(method=asking.method, target=asking.path, headers=headers)
        for part in (ask, h11.Data(data=asking.body), h11.EndOfMessage()):
            self._writer.write(self._http.send(part) or b"")
        await self._writer.drain()
        status, body = 0, b""
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(await self._reader.read(65536))
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > LARGEST:
                    raise Unbelievable(f"{asking.method} {asking.path} answered more than {LARGEST} bytes")
            elif isinstance(event, h11.EndOfMessage):
                break
            elif isinstance(event, h11.ConnectionClosed):
                raise ConnectionResetError("the connection was closed")
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        return status, body


class PeerClient:
    """Keeps one connection to each peer; `why` says what went wrong with those that did not answer last."""

    def __init__(self, cluster: str, certificates: Path | str, port: int = 8008, limit: float = TIMEOUT) -> None:
        self._cluster, self._port, self._limit = cluster, port, limit
        self._folder = Path(certificates)
        self._context: ssl.SSLContext | None = None
        self._signature: Signature | None = None
        self._kept: dict[str, Connection] = {}
        self.why: dict[str, str] = {}

    async def ask(self, pods: Iterable[Pod], heard: Heard | None = None) -> dict[str, MemberStatus | None]:
        """By member: its words, or None when it did not say them within the time limit. Never raises for a peer.

        `heard` is called for each pod as soon as that is known. Two calls may overlap.
        """
        asked = tuple(pods)
        for member in self._kept.keys() - {pod.member for pod in asked}:
            self._kept.pop(member).drop()

        async def one(pod: Pod) -> MemberStatus | None:
            status = await self._one(pod, MEMBER, MemberStatus, self._limit)
            if heard is not None:
                heard(pod, status)
            return status

        answers = await asyncio.gather(*(one(pod) for pod in asked))
        return dict(zip((pod.member for pod in asked), answers, strict=True))

    async def ask_promises(
        self, pods: Iterable[Pod], question: Question, limit: float
    ) -> dict[str, Verdict | str]:  # fmt: skip
        """By member: its verdict, or why there is none. Never raises for a peer."""
        asking = Asking("POST", "/promise", msgspec.json.encode(question))

        async def one(pod: Pod) -> tuple[str, Verdict | str]:
            verdict = await self._one(pod, asking, Verdict, limit)
            return pod.member, verdict or self.why.get(pod.member, "no answer")

        return dict(await asyncio.gather(*(one(pod) for pod in pods)))

    async def aclose(self) -> None:
        for connection in self._kept.values():
            connection.drop()
        self._kept.clear()
        await asyncio.sleep(0)

    def _certificates(self) -> ssl.SSLContext:
        """The context, made anew when the files changed; then no connection of before is used again.

        Files that cannot be loaded (they are being replaced) leave the context as it is until the next question.
        """
        found = signature(self._folder)
        if self._context is None or found != self._signature:
            try:
                self._context = client_context(self._folder)
            except (OSError, ssl.SSLError):
                if self._context is None:
                    raise
                return self._context
            self._signature = found
            for connection in self._kept.values():
                connection.drop()
            self._kept.clear()
        return self._context

    async def _one(self, pod: Pod, asking: Asking, kind: type[Word], limit: float) -> Word | None:
        try:
            context = self._certificates()
        except (OSError, ssl.SSLError) as error:
            self.why[pod.member] = f"no usable certificates in {self._folder}: {error}"
            return None
        try:
            async with asyncio.timeout(limit):
                code, body = await self._send(context, pod, asking)
            word = _believed(pod, asking, code, body, kind)
            self.why.pop(pod.member, None)
            return word
        except TimeoutError:
            self.why[pod.member] = f"no answer within {limit:g} s"
        except Exception as error:  # whatever one peer does, the others' answers count
            self.why[pod.member] = str(error) or type(error).__name__
        return None

    async def _send(self, context: ssl.SSLContext, pod: Pod, asking: Asking) -> tuple[int, bytes]:
        kept = self._kept.get(pod.member)
        if kept is not None and kept.usable and kept.address == pod.address:
            try:
                return await self._over(kept, pod, asking)
            except (ConnectionError, h11.RemoteProtocolError):
                pass  # the peer closed it in this very moment
        elif kept is not None:
            self._kept.pop(pod.member).drop()
        return await self._over(await self._open(context, pod), pod, asking)

    async def _open(self, context: ssl.SSLContext, pod: Pod) -> Connection:
        if not pod.address:
            raise Unbelievable("the pod has no address")
        name = f"{pod.member}.{self._cluster}-pods"
        streams = await asyncio.open_connection(pod.address, self._port, ssl=context, server_hostname=name)
        return Connection(*streams, pod.address)

    async def _over(self, connection: Connection, pod: Pod, asking: Asking) -> tuple[int, bytes]:
        """Ask over this connection, and keep it only if all went well."""
        self._kept.pop(pod.member, None)
        try:
            answer = await connection.send(asking)
        except BaseException:
            connection.drop()
            raise
        if (other := self._kept.get(pod.member)) is not None:
            other.drop()  # of a call that ran beside this one
        self._kept[pod.member] = connection
        return answer


def _believed(pod: Pod, asking: Asking, code: int, body: bytes, kind: type[Word]) -> Word:
    """The asked member's own words. Raises Unbelievable, msgspec.MsgspecError."""
    if code != 200:
        raise Unbelievable(f"{asking.method} {asking.path} answered {code}")
    word = msgspec.json.decode(body, type=kind)
    if (word.member, word.uid) != (pod.member, pod.uid):
        raise Unbelievable(f"the answer is of {word.member} (pod UID {word.uid})")
    return word


async def ask(
    pods: Iterable[Pod], certificates: Path | str, port: int, cluster: str, limit: float = TIMEOUT
) -> dict[str, MemberStatus | None]:
    """One poll without kept connections, `limit` seconds for each peer."""
    client = PeerClient(cluster, certificates, port, limit)
    try:
        return await client.ask(pods)
    finally:
        await client.aclose()
