"""An agent asks a pooler over real TLS; whatever a pooler does, the agent's stop is not held up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from pgherd.kubernetes.store import Unanswered
from pgherd.model.settings import RestSettings
from pgherd.pooler.app import build
from pgherd.pooler.pausing import Pausing
from pgherd.pooler.server import Identity
from pgherd.rest import poolers, server
from pgherd.rest.certificates import Live
from pgherd.runtime.pooling import Pooling
from tests.unit.rest.stand_ins import Authority
from tests.unit.runtime.stand_ins import Bench

AUTHORITY = Authority()


class Silent(Pausing):
    async def pause(self) -> str:
        await asyncio.sleep(60)
        return "paused"


async def console(command: str) -> None:
    pass


async def look() -> Identity | None:
    return ("10.0.0.1", "9:00")


@contextlib.asynccontextmanager
async def pooler(folder: Path, kind: type[Pausing] = Pausing, pausable: bool = True) -> AsyncIterator[int]:
    """One on a free port."""
    pausing = kind(console, look, asyncio.get_running_loop().time, lambda text: None)
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    settings = replace(RestSettings(certificates=str(folder), listen="127.0.0.1"), port=0)
    said: list[str] = []
    task = asyncio.create_task(
        server.serve(build(pausing, pausable), settings, Live(folder), said.append, ready.set_result)
    )
    try:
        yield await asyncio.wait_for(ready, 20)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await pausing.close()


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """The pooler's and the member's certificates."""
    for name, host in (("pooler", "demo-pgbouncer"), ("member", "demo-0")):
        AUTHORITY.write(tmp_path / name, host)
    return tmp_path / "pooler", tmp_path / "member"


async def test_a_pooler_is_asked_and_answers(folders: tuple[Path, Path]) -> None:
    async with pooler(folders[0]) as port:
        assert await poolers.pause({"p": "127.0.0.1"}, "demo", port, folders[1], 20) == {"p": "paused"}


async def test_only_the_pooler_of_this_cluster_is_believed(folders: tuple[Path, Path]) -> None:
    async with pooler(folders[0]) as port:
        said = await poolers.pause({"p": "127.0.0.1"}, "another", port, folders[1], 20)
    assert "another-pgbouncer" in said["p"]


async def test_a_pool_of_replicas_is_not_paused(folders: tuple[Path, Path]) -> None:
    async with pooler(folders[0], pausable=False) as port:
        said = await poolers.pause({"p": "127.0.0.1"}, "demo", port, folders[1], 20)
    assert said["p"].startswith("answered 409: ") and "not paused" in said["p"]


async def test_a_silent_pooler_costs_its_time_limit_and_hides_no_other(folders: tuple[Path, Path]) -> None:
    async with pooler(folders[0], Silent) as port:
        said = await poolers.pause({"p": "127.0.0.1", "q": "127.0.0.1"}, "demo", port, folders[1], 0.3)
    assert said == {"p": "no answer within 0.3 s", "q": "no answer within 0.3 s"}


async def test_certificates_that_cannot_be_read_are_an_answer_too(tmp_path: Path) -> None:
    said = await poolers.pause({"p": "127.0.0.1"}, "demo", 1, tmp_path, 1)
    assert said["p"].startswith("no usable certificates")


async def test_what_poolers_say_is_logged_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.memory.poolers = {"p": "10.0.0.9", "q": "10.0.0.8"}

    async def ask(addresses: dict[str, str], limit: float) -> dict[str, str]:
        return dict(zip(addresses, ("paused", "waiting"), strict=True))

    await Pooling(bench.stores.pods, ask, bench.log).hold()  # type: ignore[arg-type]
    assert "clients may see an error: q: waiting" in bench.output.getvalue()


async def test_an_api_that_does_not_answer_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path)

    async def away(limit: float) -> dict[str, str]:
        raise Unanswered("list pods: no answer within 0.5 s")

    monkeypatch.setattr(bench.stores.pods, "poolers", away)

    async def ask(addresses: object, limit: float) -> dict[str, str]:
        raise AssertionError("nobody to ask")

    await Pooling(bench.stores.pods, ask, bench.log).hold()
    assert "no answer within 0.5 s" in bench.output.getvalue()
