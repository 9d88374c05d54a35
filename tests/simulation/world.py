"""Virtual time, chance and the network. Everything random comes from one generator, so that a seed is a story."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Callable
from typing import Protocol


class Steps(Protocol):
    """An agent process as the scheduler sees it."""

    def due(self) -> float | None: ...
    def step(self) -> None: ...


class Violation(AssertionError):
    """An invariant does not hold. The first word of the text is its number."""


API = "api"


class World:
    def __init__(self, seed: int, trace: bool = False) -> None:
        self.now = 0.0
        self.random = random.Random(seed)
        self.processes: list[Steps] = []
        self.after_event: Callable[[], None] = lambda: None
        self.cut: set[tuple[str, str]] = set()
        """(from, to), members or the API: nothing passes this way."""
        self.violation: Violation | None = None
        """The first one. Agents survive their tasks' errors, so raising alone would go unnoticed."""
        self.events: list[str] = []
        self._trace = trace
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()

    def say(self, who: str, text: str) -> None:
        """A line of the story; kept only when somebody will read it."""
        if self._trace:
            self.events.append(f"{self.now:8.3f} {who:<6} {text}")

    def at(self, when: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (max(when, self.now), next(self._number), act))

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        self.at(self.now + seconds, act)

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def between(self, low: float, high: float) -> float:
        return self.random.uniform(low, high)

    def passes(self, sender: str, receiver: str) -> bool:
        return (sender, receiver) not in self.cut

    def reachable(self, one: str, other: str) -> bool:
        """Both ways, as a TCP connection needs."""
        return self.passes(one, other) and self.passes(other, one)

    def _check(self) -> None:
        self.after_event()
        if self.violation is not None:
            raise self.violation

    def run(self, until: float, done: Callable[[], bool]) -> None:
        """Until that time, or until `done`. Raises what an event or the check after it raises."""
        while self.now < until and not done():
            waiting = [(due, process) for process in self.processes if (due := process.due()) is not None]
            first = min((due for due, _ in waiting), default=math.inf)
            if self._heap and self._heap[0][0] <= first:
                self.now, _, act = heapq.heappop(self._heap)
                act()
            elif first <= until:
                self.now = max(self.now, first)
                for due, process in waiting:
                    if due <= self.now:  # what it sends to others happens later, by way of the heap
                        process.step()
                        self._check()
                continue
            else:
                self.now = until
            self._check()
