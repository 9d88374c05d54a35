"""Following an API that misbehaves: never without a pause, never without a word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import httpx2
import pytest

from pgherd.kubernetes.follow import follow
from pgherd.kubernetes.store import Refused, Unanswered


class Source:
    """Lists as they are told, and watches that end or break at once."""

    def __init__(self, begins: Exception | None = None, changes: Exception | None = None) -> None:
        self.begins, self.changed, self.asked = begins, changes, 0

    async def begin(self) -> tuple[str, str]:
        self.asked += 1
        if self.begins is not None:
            raise self.begins
        return f"state {self.asked}", "1"

    async def changes(self, version: str) -> AsyncGenerator[str, None]:
        if self.changed is not None:
            raise self.changed
        return
        yield ""


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (Source(Refused(0, "connection refused")), "connection refused"),
        (Source(Refused(429, "too many requests")), "too many requests"),
        (Source(Refused(0, "certificate verify failed")), "certificate verify failed"),
        (Source(Unanswered("500")), "500"),
        (Source(changes=Refused(410, "too old resource version")), "too old resource version"),
        (Source(changes=httpx2.ReadError("connection reset")), "connection reset"),
        (Source(), "the watch ended at once"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
async def test_whatever_goes_wrong_it_pauses_longer_each_time(source: Source, said: str) -> None:
    reports: list[str] = []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            async for _ in follow(source, lambda: 5.0, reports.append):
                pass
    # Pauses of 0.05 to 0.1 s, then twice as long each time: 0.05 + 0.1 + 0.2 + 0.4 + 0.8 s at least.
    assert 2 <= source.asked <= 5
    assert all(said in report for report in reports) and len(reports) == source.asked


async def test_what_speaks_again_is_no_trouble_any_more() -> None:
    class Speaks(Source):
        async def changes(self, version: str) -> AsyncGenerator[str, None]:
            yield "changed"
            raise httpx2.ReadError("connection reset")

    reports: list[str] = []
    async for _ in follow(Speaks(), lambda: 5.0, reports.append):
        if len(reports) == 4:
            break
    assert reports == ["", "ReadError: connection reset"] * 2
