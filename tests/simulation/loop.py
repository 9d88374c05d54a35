"""An asyncio event loop on virtual time, stepped from outside: one for each agent process.

A frozen process is a loop that is not stepped; what was sent to it waits in its queue, as in life. No sockets, no
threads (`run_in_executor` runs inline), no signals: an agent meets the outside only through what it is given.
"""

from __future__ import annotations

import asyncio
import asyncio.events
import heapq
from collections.abc import Callable
from typing import Any


class _NoSelector:
    def select(self, timeout: float | None = None) -> list[Any]:
        return []

    def close(self) -> None:
        pass


class VirtualLoop(asyncio.BaseEventLoop):
    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__()
        self._now = now
        self._selector = _NoSelector()
        self._clock_resolution = 1e-9
        self.problems: list[str] = []
        self.set_exception_handler(self._problem)

    def _problem(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.problems.append(f"{context.get('message')}: {context.get('exception')!r}")

    def time(self) -> float:
        return self._now()

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def add_signal_handler(self, sig: int, callback: Callable[..., Any], *args: Any) -> None:
        pass

    def due(self) -> float | None:
        """Virtual time of the next thing to do; None when it waits for others only."""
        if self._ready:  # type: ignore[attr-defined]
            return self._now()
        scheduled = self._scheduled  # type: ignore[attr-defined]  # a heap: the first is the earliest
        while scheduled and scheduled[0]._cancelled:  # nobody wakes up for these
            heapq.heappop(scheduled)._scheduled = False
            self._timer_cancelled_count -= 1  # type: ignore[has-type]
        return scheduled[0]._when if scheduled else None

    def step(self) -> None:
        """Everything that is due now."""
        asyncio.events._set_running_loop(self)
        try:
            while True:
                due = self.due()
                if due is None or due > self._now():
                    return
                self._run_once()  # type: ignore[attr-defined]
        finally:
            asyncio.events._set_running_loop(None)

    def end(self) -> None:
        """The process was killed: nothing of it runs on; its tasks are unwound so that nothing is left behind."""
        for _ in range(50):
            left = [task for task in asyncio.all_tasks(self) if not task.done()]
            if not left:
                break
            for task in left:
                task.cancel()
            self._unwind()
        self.close()

    def _unwind(self) -> None:
        asyncio.events._set_running_loop(self)
        try:
            for _ in range(20):
                if not self._ready:  # type: ignore[attr-defined]
                    return
                self._run_once()  # type: ignore[attr-defined]
        finally:
            asyncio.events._set_running_loop(None)
