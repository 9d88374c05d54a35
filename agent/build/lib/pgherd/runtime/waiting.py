"""A bell: something to wait for that several may ring, with a time limit on every wait."""

from __future__ import annotations

import asyncio


class Bell:
    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        self._event.set()

    async def wait(self, seconds: float) -> bool:
        """Until it rings (also if it rang since the last wait) or `seconds` passed; whether it rang."""
        try:
            async with asyncio.timeout(max(seconds, 0.0)):
                await self._event.wait()
        except TimeoutError:
            pass
        rang = self._event.is_set()
        self._event.clear()
        return rang
