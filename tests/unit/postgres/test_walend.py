"""The search for the end of the WAL: forgotten while somebody waits for it, it says nothing rather than failing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pgherd.model.position import Position
from pgherd.postgres import walend


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """The search ends when it is set."""
    ready = asyncio.Event()

    async def find(layout: Any, control: Any) -> Position:
        await ready.wait()
        return Position(1, 500)

    monkeypatch.setattr(walend, "find", find)
    return ready


async def test_what_is_forgotten_while_it_is_looked_for_is_not_known(search: asyncio.Event) -> None:
    end: Any = walend.WalEnd(None)  # type: ignore[arg-type]
    asked = asyncio.create_task(end.position("control", 5.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    end.forget()  # a start has begun
    assert await asked == (None, True)
    search.set()
    assert await end.position("control", 5.0) == (Position(1, 500), True)


async def test_nobody_waits_longer_than_he_wants(search: asyncio.Event) -> None:
    end: Any = walend.WalEnd(None)  # type: ignore[arg-type]
    assert await end.position("control", 0.0) == (None, True)
    end.forget()
