"""Follow objects: list, watch from there, and start again whenever the watch ends, breaks or falls silent.

A watch tells of changes only; it may end at any time, answer 410 when its version is too old, or go dead
without a word (https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes).
So it is never trusted for longer than `silence` seconds: then a list tells the truth again.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from typing import Protocol, TypeVar

import httpx2
import msgspec

from pgherd.kubernetes.client import HASTY
from pgherd.kubernetes.store import StoreError, Unanswered

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Report = Callable[[str], None]

LIST_LIMIT = 5.0
"""Seconds for the list that begins a watch."""

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0

BROKEN = (StoreError, httpx2.HTTPError, msgspec.MsgspecError, UnicodeDecodeError, OSError, TimeoutError)
"""What a watch may die of. Anything else is a mistake of ours and ends the agent, loudly."""


class Source(Protocol[T_co]):
    """Something to follow."""

    async def begin(self) -> tuple[T_co, str]:
        """The present state and the version to watch from."""

    def changes(self, version: str) -> AsyncGenerator[T_co, None]:
        """The state after each change. Raises or ends when the watch does."""


async def until_silent(stream: AsyncIterator[T], silence: Callable[[], float]) -> AsyncIterator[T]:
    """The stream's items until it ends or says nothing for `silence()` seconds."""
    while True:
        try:
            async with asyncio.timeout(silence()):
                item = await anext(stream)
        except (StopAsyncIteration, TimeoutError):
            return
        yield item


async def follow(source: Source[T], silence: Callable[[], float], report: Report) -> AsyncIterator[T]:
    """The state, again and again, for ever. `report` gets a sentence for each interruption that is not routine, and
    an empty one once the watch speaks again."""
    pause, loop = FIRST_PAUSE, asyncio.get_running_loop()
    while True:
        try:
            state, version = await source.begin()
            yield state
            began, spoke = loop.time(), False
            async with contextlib.aclosing(source.changes(version)) as stream:
                async for item in until_silent(stream, silence):
                    yield item
                    pause, spoke = FIRST_PAUSE, True
                    report("")
            if not spoke and loop.time() - began < min(HASTY, silence()):
                raise Unanswered("the watch ended at once")
        except BROKEN as error:
            report(f"{type(error).__name__}: {error}")
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE)


@contextlib.asynccontextmanager
async def closing(stream: AsyncIterable[T]) -> AsyncIterator[AsyncIterable[T]]:
    """A client library's stream, closed (and its connection with it) when it is left."""
    try:
        yield stream
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()
