"""The server over real TLS on the loopback, and the client that members ask each other with."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from pgherd.model.member import Pod
from pgherd.model.promises import Question, Verdict
from pgherd.model.settings import InvalidSetting, RestSettings
from pgherd.rest import server
from pgherd.rest.app import build
from pgherd.rest.certificates import Live
from pgherd.rest.client import PeerClient, ask
from tests.unit.rest.stand_ins import PRIMARY, REPLICA, Authority, Source

AUTHORITY, STRANGER = Authority(), Authority("another-ca")


class Running:
    def __init__(
        self, port: int, folder: Path, said: list[str], source: Source, seen: set[object], tls: Live
    ) -> None:  # fmt: skip
        self.tls = tls
        self.port, self.folder, self.said, self.source = port, folder, said, source
        self.connections = seen
        """Where requests came from."""

    def url(self, path: str) -> str:
        return f"https://127.0.0.1:{self.port}{path}"


def built(source: Source) -> Starlette:
    return build(source, source.promise, source.ask, source.change, source.measure)


@contextlib.asynccontextmanager
async def serving(folder: Path, source: Source | None = None) -> AsyncIterator[Running]:
    """A member's API on a free port until the block ends."""
    source, said = source or Source(), []
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    settings = RestSettings(certificates=str(folder), listen="127.0.0.1")
    settings = replace(settings, port=0)
    app, seen = built(source), set()

    async def counting(scope: Scope, receive: Receive, send: Send) -> None:
        seen.add(scope["client"])
        await app(scope, receive, send)

    tls = Live(folder)
    task = asyncio.create_task(server.serve(counting, settings, tls, said.append, ready.set_result))
    await asyncio.wait({task, ready}, timeout=5, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    try:
        yield Running(ready.result(), folder, said, source, seen, tls)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return AUTHORITY.write(tmp_path / "server", "demo-a-0")


def context(folder: Path, certificate: Path | None = None) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=folder / "ca.crt")
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if certificate is not None:
        made.load_cert_chain(certificate / "tls.crt", certificate / "tls.key")
    return made


@contextlib.asynccontextmanager
async def http(made: ssl.SSLContext) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(verify=made, trust_env=False) as client:
        yield client


async def test_reads_need_no_certificate_and_writes_one_of_the_authority(folder: Path, tmp_path: Path) -> None:
    own = AUTHORITY.write(tmp_path / "client", "demo-b-0")
    async with serving(folder) as rest:
        async with http(context(folder)) as client:
            assert (await client.get(rest.url("/primary"))).status_code == 200
            assert (await client.post(rest.url("/config"))).status_code == 403
            assert (await client.patch(rest.url("/config"), json={"ttl": 20})).status_code == 403
            assert (await client.get(rest.url("/primary"))).headers.get("server") is None
        assert rest.source.changes == []
        async with http(context(folder, own)) as client:
            assert (await client.post(rest.url("/config"))).status_code == 405
            assert (await client.post(rest.url("/nowhere"))).status_code == 404
            assert (await client.patch(rest.url("/config"), json={"ttl": 20})).json() == {"ttl": 20}
            assert (await client.put(rest.url("/config"), json={"ttl": 21})).json() == {"ttl": 21}
        assert [(body, replaces) for body, replaces, _ in rest.source.changes] == [
            ({"ttl": 20}, False),
            ({"ttl": 21}, True),
        ]
        assert all(by.startswith("CN=demo-b-0") for *_, by in rest.source.changes)
    assert rest.said == []


async def test_a_certificate_of_a_stranger_is_no_certificate(folder: Path, tmp_path: Path) -> None:
    strange = STRANGER.write(tmp_path / "stranger", "demo-b-0")
    async with serving(folder) as rest, http(context(folder, strange)) as client:
        with pytest.raises(httpx2.TransportError):
            await client.post(rest.url("/config"))


async def test_plain_http_is_refused(folder: Path) -> None:
    async with serving(folder) as rest:
        reader, writer = await asyncio.open_connection("127.0.0.1", rest.port)
        writer.write(b"GET /health HTTP/1.1\r\nHost: demo\r\n\r\n")
        async with asyncio.timeout(5):
            answer = b""
            with contextlib.suppress(ConnectionError):
                answer = await reader.read()
        assert not answer.startswith(b"HTTP")
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_old_protocols_are_refused(folder: Path) -> None:
    async with serving(folder) as rest:
        old = context(folder)
        with pytest.warns(DeprecationWarning):
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", rest.port, ssl=old)


async def test_renewed_certificates_are_used_without_a_restart(folder: Path) -> None:
    strict = context(folder)
    async with serving(folder) as rest:

        async def serial() -> int:
            _, writer = await asyncio.open_connection("127.0.0.1", rest.port, ssl=strict)
            found = writer.get_extra_info("ssl_object").getpeercert()["serialNumber"]
            writer.close()
            await writer.wait_closed()
            return int(found, 16)

        before = await serial()
        key = (folder / "tls.key").read_bytes()
        (folder / "tls.key").write_text("half written")
        with pytest.raises(ssl.SSLError):
            rest.tls.load()
        assert await serial() == before
        (folder / "tls.key").write_bytes(key)
        AUTHORITY.write(folder, "demo-a-0")
        rest.tls.load()
        assert await serial() != before
    assert rest.said == []


async def test_an_authority_that_is_gone_from_the_file_is_trusted_no_more(folder: Path, tmp_path: Path) -> None:
    old, new = AUTHORITY.write(tmp_path / "old", "demo-b-0"), STRANGER.write(tmp_path / "new", "demo-b-0")
    async with serving(folder) as rest, http(context(folder, old)) as kept:
        assert (await kept.post(rest.url("/config"))).status_code == 405
        STRANGER.write(folder, "demo-a-0")
        rest.tls.load()
        async with http(context(folder, new)) as client:
            assert (await client.post(rest.url("/config"))).status_code == 405
        assert (await kept.post(rest.url("/config"))).status_code == 405, "what is open goes on"
        async with http(context(folder, old)) as client:
            with pytest.raises(httpx2.TransportError):
                await client.post(rest.url("/config"))


async def test_silent_connections_are_closed_and_hold_nobody_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "FIRST_REQUEST", 0.2)
    async with serving(folder) as rest:
        silent = [await asyncio.open_connection("127.0.0.1", rest.port, ssl=context(folder)) for _ in range(20)]
        async with http(context(folder)) as client:
            assert (await client.get(rest.url("/health"))).status_code == 200
        async with asyncio.timeout(5):
            for reader, _ in silent:
                assert await reader.read() == b""
        for _, writer in silent:
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()


async def test_it_stops_within_a_bound_although_somebody_stays_connected(folder: Path) -> None:
    async with serving(folder) as rest:
        raw = socket.create_connection(("127.0.0.1", rest.port))
        wrapped = await asyncio.to_thread(context(folder).wrap_socket, raw, server_hostname="localhost")
        began = time.monotonic()
    assert time.monotonic() - began < 2.5
    wrapped.close()


async def test_a_port_in_use_is_named(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = RestSettings(port=port, certificates=str(folder), listen="127.0.0.1")
        with pytest.raises(InvalidSetting, match=f"rest.port={port} on 127.0.0.1: Address already in use"):
            await server.serve(built(Source()), settings, Live(folder), print)


def pod(status_member: str = "demo-a-0", uid: str = "uid-a", address: str | None = "127.0.0.1") -> Pod:
    return Pod(status_member, uid, address)


async def test_peers_answer_and_connections_are_kept(folder: Path, tmp_path: Path) -> None:
    own = AUTHORITY.write(tmp_path / "client", "demo-b-0")
    async with serving(folder) as rest:
        client = PeerClient("demo", own, rest.port)
        for _ in range(3):
            assert await client.ask([pod()]) == {"demo-a-0": PRIMARY}
        assert client.why == {} and rest.source.refreshed == 3
        assert len(rest.connections) == 1
        AUTHORITY.write(own, "demo-b-0")
        assert await client.ask([pod()]) == {"demo-a-0": PRIMARY}, "renewed certificates"
        assert len(rest.connections) == 2
        (own / "tls.key").write_text("half written")
        assert await client.ask([pod()]) == {"demo-a-0": PRIMARY}, "those before are kept"
        await client.aclose()


async def test_a_restarted_peer_is_asked_again_at_once(folder: Path) -> None:
    async with serving(folder) as first:
        client = PeerClient("demo", folder, first.port)
        assert await client.ask([pod()]) == {"demo-a-0": PRIMARY}
    assert await client.ask([pod()]) == {"demo-a-0": None} and client.why["demo-a-0"]
    await client.aclose()


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (pod(uid="another"), "the answer is of demo-a-0"),
        (pod("demo-b-0", "uid-b"), "[Hh]ostname mismatch"),
        (pod(address=None), "no address"),
        (pod(address="not an address"), "."),
    ],
)
async def test_only_the_member_that_was_asked_is_believed(folder: Path, asked: Pod, why: str) -> None:
    async with serving(folder) as rest:
        client = PeerClient("demo", folder, rest.port)
        assert await client.ask([asked]) == {asked.member: None}
        assert re.search(why, client.why[asked.member])
        await client.aclose()


async def test_one_silent_peer_costs_a_second_and_no_answer_of_the_others(folder: Path, tmp_path: Path) -> None:
    other = AUTHORITY.write(tmp_path / "b", "demo-b-0")
    deaf = socket.create_server(("127.0.0.2", 0))
    port = deaf.getsockname()[1]
    async with serving_on("127.0.0.1", port, folder, Source()), serving_on("127.0.0.3", port, other, Source(REPLICA)):
        began = time.monotonic()
        pods = [pod(), pod("demo-c-0", "uid-c", "127.0.0.2"), pod("demo-b-0", "uid-b", "127.0.0.3")]
        found = await ask(pods, folder, port, "demo", 0.5)
        assert time.monotonic() - began < 2
    assert found == {"demo-a-0": PRIMARY, "demo-c-0": None, "demo-b-0": REPLICA}
    deaf.close()


@contextlib.asynccontextmanager
async def serving_on(address: str, port: int, folder: Path, source: Source) -> AsyncIterator[None]:
    settings = RestSettings(port=port, certificates=str(folder), listen=address)
    ready = asyncio.Event()
    task = asyncio.create_task(server.serve(built(source), settings, Live(folder), print, lambda port: ready.set()))
    async with asyncio.timeout(5):
        await ready.wait()
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_no_certificates_is_an_answer_too(tmp_path: Path) -> None:
    client = PeerClient("demo", tmp_path / "missing")
    assert await client.ask([pod()]) == {"demo-a-0": None}
    assert "no usable certificates" in client.why["demo-a-0"]


async def test_garbage_is_not_believed(folder: Path) -> None:
    async with serving(folder, Source(replace(PRIMARY, member=""))) as rest:
        assert await ask([pod()], folder, rest.port, "demo") == {"demo-a-0": None}


QUESTION = Question("demo-b-0", "uid-b", 3, ("n1",), 10.0)


async def test_promises_are_asked_for_with_the_own_certificate(folder: Path, tmp_path: Path) -> None:
    own, other = (AUTHORITY.write(tmp_path / name, name) for name in ("demo-b-0", "demo-c-0"))
    async with serving(folder) as rest:
        client = PeerClient("demo", own, rest.port)
        for _ in range(3):
            said = await client.ask_promises([pod()], QUESTION, 10.0)
            assert said == {"demo-a-0": Verdict("demo-a-0", "uid-a")}
        assert rest.source.asked == [QUESTION] * 3 and len(rest.connections) == 1
        rest.source.refused = "it sees another write of the lease"
        said = await client.ask_promises([pod()], QUESTION, 10.0)
        assert said == {"demo-a-0": Verdict("demo-a-0", "uid-a", "it sees another write of the lease")}
        await client.aclose()
        client = PeerClient("demo", other, rest.port)
        said = await client.ask_promises([pod()], QUESTION, 10.0)
        assert said == {"demo-a-0": "POST /promise answered 403"}
        await client.aclose()


async def test_who_does_not_answer_has_not_promised(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        client = PeerClient("demo", folder, deaf.getsockname()[1])
        began = time.monotonic()
        said = await client.ask_promises([pod()], QUESTION, 0.2)
    assert said == {"demo-a-0": "no answer within 0.2 s"} and time.monotonic() - began < 2
