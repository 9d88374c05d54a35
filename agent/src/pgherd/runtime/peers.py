"""What the other members say of themselves: one poll of all at a time, at most a second long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from pgherd.model.member import MemberStatus, Pod
from pgherd.runtime.ports import Clock
from pgherd.runtime.state import State
from pgherd.runtime.waiting import Bell

Ask = Callable[[tuple[Pod, ...]], Awaitable[Mapping[str, MemberStatus | None]]]

IDLE_ROUNDS = 3
"""A replica asks only every so many `loop_wait`: with a lease to take it asks at once, as the decision wants."""

INCOMPLETE = 0.5
"""Seconds between a holder's polls while a declared member is no candidate: until it is recorded, nobody could
follow a holder that goes silent."""

LEAST = 0.1
"""Seconds between two polls at least: a decision that waits for an answer orders one each time it looks."""


class Peers:
    """Lives with the agent. Asks every `loop_wait` while holding the lease, and whenever a decision wants to know."""

    def __init__(self, state: State, ask: Ask, clock: Clock) -> None:
        self._state, self._ask, self._clock = state, ask, clock
        self.wanted = Bell()

    async def poll(self) -> None:
        own = self._state.identity.member
        pods = tuple(
            seen.pod for seen in self._state.pods or () if seen.pod.member != own and seen.pod.address is not None
        )
        began = self._clock()
        answers = await self._ask(pods) if pods else {}
        self._state.saw_answers(answers, {pod.member: pod.uid for pod in pods}, began)

    def _pause(self) -> float:
        """Seconds until the next poll without a wish for one."""
        state, loop_wait = self._state, self._state.configuration.loop_wait
        if state.pods is None:
            return 0.1
        if state.knowledge.held is None:
            return loop_wait * IDLE_ROUNDS
        record = state.knowledge.record
        complete = record is not None and len(record.candidates) >= len(state.settings.members) - 1
        return loop_wait if complete else min(loop_wait, INCOMPLETE)

    async def run(self) -> None:
        while True:
            if self._state.pods is not None:
                await self.poll()
            await asyncio.sleep(LEAST)
            await self.wanted.wait(self._pause() - LEAST)
