"""Over real sockets: an API server that is slow, is not the one it should be, or answers some and not others."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import yaml
from tests.unit.rest.stand_ins import Authority

from pgherd.kubernetes.annotated import AnnotatedLock
from pgherd.kubernetes.open import open_stores
from pgherd.kubernetes.store import Refused, StoreError, Stores, Unanswered
from pgherd.model.lease import Holder, Lease
from pgherd.model.settings import Identity, KubernetesSettings, PostgresSettings, Settings

RECORD = Lease(leader="demo-0", epoch=3, ttl=10, holder=Holder("u1", "c1", "nonce", 2, 2), address="10.0.0.1")
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def api(serve: Serve, folder: Path, tls: ssl.SSLContext | None = None) -> AsyncIterator[Stores]:
    """Stores over a server on a free port; it is trusted by `folder`/ca.crt, if there is one."""
    tasks: set[asyncio.Task[None]] = set()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(accepted, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    cluster = {"server": f"http{'s' if tls else ''}://127.0.0.1:{port}"}
    if tls:
        cluster["certificate-authority"] = str(folder / "ca.crt")
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1", "kind": "Config", "current-context": "c",
                "clusters": [{"name": "c", "cluster": cluster}], "users": [{"name": "c", "user": {"token": "t"}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c", "namespace": "ns"}}],
            }
        )
    )  # fmt: skip
    postgres = PostgresSettings(version=15, bin_directory="/b", data_directory="/d", state_directory="/s")
    settings = Settings("demo", postgres, ("demo-0",), kubernetes=KubernetesSettings(kubeconfig=str(kubeconfig)))
    stores = open_stores(settings, Identity("demo-0", "ns", "u", "10.0.0.1"), lambda: 5.0, lambda: lambda text: None)
    try:
        yield stores
    finally:
        assert isinstance(stores.lock, AnnotatedLock)
        for each in (stores.lock._reads, stores.lock._writes):
            await each._client.close()  # an agent's connections live as long as it does
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def request(reader: asyncio.StreamReader) -> str:
    """Method and path of the next request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = next((int(line.split(":")[1]) for line in head.splitlines() if line.lower().startswith("content-len")), 0)
    await reader.readexactly(length)
    return " ".join(head.split(" ", 2)[:2])


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request(reader)
    writer.write(b"\x00\x01 this is no HTTP\r\n\r\n")


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request(reader)
    writer.transport.abort()


async def trickles(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An answer that never ends: no single byte is late."""
    await request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("serve", [silent, garbage, resets, trickles], ids=lambda serve: serve.__name__)
async def test_a_write_ends_in_time_and_may_have_succeeded(serve: Serve, tmp_path: Path) -> None:
    async with api(serve, tmp_path) as stores:
        began = time.monotonic()
        with pytest.raises(Unanswered):
            await stores.lock.write(RECORD, "7", 0.3)
        assert time.monotonic() - began < 3.0


async def test_a_server_with_another_authority_s_certificate_hears_nothing(tmp_path: Path) -> None:
    other = Authority("another-ca").write(tmp_path / "server", "demo-a-0")
    Authority().write(tmp_path, "demo-a-0")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(other / "tls.crt", other / "tls.key")
    async with api(silent, tmp_path, context) as stores:
        with pytest.raises(Refused, match=r"(?i)certificate") as caught:
            await stores.lock.write(RECORD, "7", 5.0)
        assert caught.value.status == 0  # it never left
        with pytest.raises(StoreError, match=r"(?i)certificate"):
            await stores.config.read(5.0)


async def test_a_watch_that_ends_at_once_is_not_asked_for_again_at_once(tmp_path: Path) -> None:
    asked: list[str] = []

    async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            asked.append(await request(reader))
            listed = b'{"kind": "List", "metadata": {"resourceVersion": "7"}, "items": []}'
            body = b"" if "watch=true" in asked[-1] else listed
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()

    async with api(hasty, tmp_path) as stores:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                async for _ in stores.lock.follow():
                    pass
    watches = [path for path in asked if "watch=true" in path]
    assert 1 <= len(watches) <= 2
    assert 2 <= len(asked) - len(watches) <= 6, "lists"


async def test_a_renewal_does_not_wait_for_reads_that_hang(tmp_path: Path) -> None:
    """Reads and watches have a client of their own (kubernetes.open)."""

    async def only_patches(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            if not (await request(reader)).startswith("PATCH"):
                await asyncio.sleep(60)
            metadata = {"name": "demo-ha", "resourceVersion": "8", "annotations": {"transitions": "3", "ttl": "10"}}
            body = json.dumps({"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata}).encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()

    async with api(only_patches, tmp_path) as stores:

        async def hangs() -> None:
            async for _ in stores.lock.follow():
                pass

        waiting = [asyncio.create_task(hangs()) for _ in range(150)]  # more than one client has connections
        await asyncio.sleep(0.3)
        for _ in range(3):
            assert (await stores.lock.write(RECORD, "7", 5.0)).version == "8"
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
