"""What the other members say of themselves: all are asked at once, each answer counts as it comes.

A silent peer costs its second, and nobody else waits for it: the next poll may begin meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pgherd.model.actions import PollPeers
from pgherd.model.member import MemberStatus, Pod
from pgherd.rest.client import Heard
from pgherd.runtime.ports import Clock
from pgherd.runtime.state import State
from pgherd.runtime.waiting import Bell

Ask = Callable[[tuple[Pod, ...], Heard], Awaitable[Any]]
"""(pods, heard) -> calls `heard` for each of them as soon as it has answered or its time is up."""

IDLE_ROUNDS = 3
"""A replica asks only every so many `loop_wait`: with a lease to take it asks at once, as the decision wants."""

INCOMPLETE = 0.5
"""Seconds between a holder's polls while a declared member is no candidate: until it is recorded, nobody could
follow a holder that goes silent."""

LEAST = 0.25
"""Seconds between the beginnings of two polls at least: a decision that waits orders one each time it looks."""
URGENT = 0.03
"""The same while clients wait for what a peer says."""


class Peers:
    """Lives with the agent. Asks every `loop_wait` while holding the lease, and whenever a decision wants to know."""

    def __init__(self, state: State, ask: Ask, clock: Clock) -> None:
        self._state, self._ask, self._clock = state, ask, clock
        self.wanted = Bell()
        self._urgent = Bell()

    async def poll(self) -> None:
        """Returns when all have answered or the time is up."""
        began, pods = self._clock(), self._state.others()
        for pod in pods:
            if pod.address is None:
                self._state.saw_answer(pod, None, began, began)

        def heard(pod: Pod, status: MemberStatus | None) -> None:
            self._state.saw_answer(pod, status, began, self._clock())

        await self._ask(tuple(pod for pod in pods if pod.address is not None), heard)

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
        async with asyncio.TaskGroup() as polls:
            while True:
                if self._state.pods is not None:
                    polls.create_task(self.poll(), name="poll")
                await asyncio.sleep(URGENT)
                await self._urgent.wait(LEAST - URGENT)
                await self.wanted.wait(self._pause() - LEAST)

    def order(self, action: PollPeers) -> None:
        if action.urgent:
            self._urgent.ring()
        self.wanted.ring()
