"""A pause ends when there is another primary to go on with, and in any case; nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from pgherd.pooler import pausing
from pgherd.pooler.pausing import NoPrimary, Pausing
from pgherd.pooler.server import Identity

OLD, OLD_AGAIN, NEW = ("10.0.0.1", "9:00"), ("10.0.0.1", "9:30"), ("10.0.0.2", "8:00")


class Bouncer:
    """PgBouncer's console: PAUSE returns when no transaction is open."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.primary: Identity | None = OLD
        self.open = asyncio.Event()
        self.open.set()
        self.deaf = 0

    async def console(self, command: str) -> None:
        self.said.append(command)
        if command == "PAUSE":
            await self.open.wait()
        elif self.deaf:
            self.deaf -= 1
            raise OSError("no console")

    async def look(self) -> Identity | None:
        await asyncio.sleep(0)
        return self.primary


@pytest.fixture
def bouncer(monkeypatch: pytest.MonkeyPatch) -> Bouncer:
    monkeypatch.setattr(pausing, "EVERY", 0.001)
    monkeypatch.setattr(pausing, "PATIENCE", 0.05)
    return Bouncer()


@pytest.fixture
async def pool(bouncer: Bouncer) -> AsyncIterator[Pausing]:
    made = Pausing(bouncer.console, bouncer.look, asyncio.get_running_loop().time, lambda text: None)
    yield made
    await made.close()


async def runs_again(pool: Pausing) -> None:
    async with asyncio.timeout(20):
        while pool.state != "running":  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("then", [NEW, OLD_AGAIN])
async def test_clients_go_on_with_another_run_of_a_primary(bouncer: Bouncer, pool: Pausing, then: Identity) -> None:
    assert await pool.pause() == "paused"
    bouncer.primary = None
    await asyncio.sleep(0.05)
    assert (pool.state, bouncer.said) == ("paused", ["PAUSE"])
    bouncer.primary = then
    await runs_again(pool)
    assert bouncer.said == ["PAUSE", "RESUME"]


async def test_who_still_writes_to_the_same_primary_is_not_let_go_too_early(bouncer: Bouncer, pool: Pausing) -> None:
    await pool.pause()
    await asyncio.sleep(0.05)
    assert (pool.state, bouncer.said) == ("paused", ["PAUSE"])


async def test_a_pause_whose_asker_died_ends_by_itself(
    bouncer: Bouncer, pool: Pausing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pausing, "LONGEST", 0.05)
    await pool.pause()
    await runs_again(pool)
    assert bouncer.said == ["PAUSE", "RESUME"]


async def test_an_open_transaction_is_not_waited_for_any_longer(bouncer: Bouncer, pool: Pausing) -> None:
    bouncer.open.clear()
    assert await pool.pause() == "waiting"
    bouncer.primary = NEW
    await runs_again(pool)
    assert bouncer.said == ["PAUSE", "RESUME"]


async def test_two_askers_make_one_pause(bouncer: Bouncer, pool: Pausing) -> None:
    assert await asyncio.gather(pool.pause(), pool.pause()) == ["paused", "paused"]
    assert bouncer.said == ["PAUSE"]


async def test_without_a_primary_nothing_is_paused(bouncer: Bouncer, pool: Pausing) -> None:
    """There would be no telling when another one has come."""
    bouncer.primary = None
    with pytest.raises(NoPrimary):
        await pool.pause()
    assert (pool.state, bouncer.said) == ("running", [])


async def test_letting_go_is_tried_until_it_is_done(bouncer: Bouncer, pool: Pausing) -> None:
    bouncer.deaf = 3
    await pool.pause()
    bouncer.primary = NEW
    await runs_again(pool)
    assert bouncer.said == ["PAUSE", *["RESUME"] * 4]


async def test_a_console_that_refuses_is_no_pause(bouncer: Bouncer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(command: str) -> None:
        bouncer.said.append(command)
        if command == "PAUSE":
            raise OSError("no console")

    pool = Pausing(refuse, bouncer.look, asyncio.get_running_loop().time, lambda text: None)
    with pytest.raises(OSError, match="no console"):
        await pool.pause()
    assert pool.state == "running"
