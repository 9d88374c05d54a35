"""Requests of people: which are due (into the state), and what their executor answers (out by compare-and-swap).

Lives with the agent. An answer that finishes a request counts for this member's own decisions at once, however long
the API takes; one that begins it counts only when it is confirmed. Whoever holds the lease removes what ended an
hour ago.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator

import msgspec

from pgherd.kubernetes.request_text import InvalidRequest, seconds
from pgherd.kubernetes.store import Conflict, RequestsSeen, RequestStore, StoreError, older
from pgherd.model.actions import AnswerRequest
from pgherd.model.request import Asked, Request, Stage
from pgherd.runtime.log import Changing, Log, wall
from pgherd.runtime.ports import Clock
from pgherd.runtime.state import State
from pgherd.runtime.waiting import Bell

LIMIT = 3.0
"""Seconds for a request to the API."""
RETRY = 0.5
KEPT = 3600.0
"""Seconds for which a finished request can be looked up."""
ASKED = 60.0
"""Seconds that a program which asks over REST waits for the outcome."""
POLL = 0.05
LONGEST = 60.0
"""Seconds between two looks at the clock at most."""


class Requests:
    def __init__(self, state: State, store: RequestStore, clock: Clock, wall_clock: Clock, log: Log) -> None:
        self._state, self._store, self._clock, self._wall, self._log = state, store, clock, wall_clock, log
        self._trouble = Changing(log, "warning", "requests")
        self._seen = RequestsSeen()
        self._first: dict[str, float] = {}
        self._begun: dict[str, float] = {}
        self._answers: dict[str, Request] = {}
        """Not confirmed yet."""
        self._wake = Bell()

    def order(self, action: AnswerRequest) -> None:
        """Level-triggered: the same answer again changes nothing."""
        request = action.request
        before = self._answers.get(request.id)
        if before is not None and (before.state is request.state or before.finished):
            return
        said = request.reason and f": {request.reason}"
        self._log.info("request", f"{request.verb.value} {request.id} is {request.state.value}{said}")
        if request.finished:
            request = msgspec.structs.replace(request, ended=wall())
        self._answers[request.id] = request
        self._update()
        self._wake.ring()

    def ended(self, identifier: str, error: str = "") -> None:
        """The task that carried a request out has ended."""
        asked = next((each.request for each in self._state.requests if each.request.id == identifier), None)
        if asked is not None:
            stage = Stage.FAILED if error else Stage.DONE
            self.order(AnswerRequest(msgspec.structs.replace(asked, state=stage, reason=error)))

    def _saw(self, seen: RequestsSeen) -> None:
        if older(seen.version, self._seen.version):
            return  # what was answered meanwhile would be carried out again
        self._seen = seen
        self._trouble("; ".join(seen.wrong))
        there = {request.id: request for request in seen.requests}
        for identifier, answer in tuple(self._answers.items()):
            now = there.get(identifier)
            if now is None or now.finished or now.state is answer.state:
                del self._answers[identifier]
                if now is not None and now.state is Stage.RUNNING:
                    self._begun[identifier] = self._clock()
        self._first = {name: at for name, at in self._first.items() if name in there}
        self._begun = {name: at for name, at in self._begun.items() if name in there}
        self._update()

    def _update(self) -> None:
        """What is due now, into the state."""
        now, wall_now = self._clock(), self._wall()
        due = []
        for request in self._seen.requests:
            answer = self._answers.get(request.id)
            if request.finished or (answer is not None and answer.finished):
                continue
            if self._until(request, wall_now) > 0 and request.state is Stage.PENDING:
                continue
            since = self._first.setdefault(request.id, now)
            expired = bool(request.expires) and seconds(request.expires, "expires") <= wall_now
            due.append(Asked(request, since, self._begun.get(request.id), expired))
        if tuple(due) != self._state.requests:
            self._state.requests = tuple(due)
            self._state.decide.ring()

    @staticmethod
    def _until(request: Request, wall_now: float) -> float:
        """Seconds until its schedule; a bad time cannot be in the store (model.request.read)."""
        try:
            return seconds(request.not_before, "not_before") - wall_now if request.not_before else 0.0
        except InvalidRequest:
            return math.inf

    def _pause(self) -> float:
        """Seconds until something becomes due or expires without any news."""
        now = self._wall()
        times = [text for each in self._seen.requests if not each.finished for text in (each.not_before, each.expires)]
        left = [at - now for at in (seconds(text, "time") for text in times if text) if at > now]
        return max(0.01, min([LONGEST, *left]))

    async def ask(self, request: Request, limit: float = ASKED) -> Request:
        """Write it, and wait for its end, `limit` seconds at most; as it is then. Raises StoreError."""
        while True:
            seen = await self._store.read(LIMIT)
            if not seen.version:
                raise StoreError("the object of the requests is missing: run the play, it makes it")
            try:
                self._saw(await self._store.write({request.id: request}, seen, LIMIT))
                break
            except Conflict:
                await asyncio.sleep(RETRY)
        end = self._clock() + limit
        while True:
            now = next((each for each in self._seen.requests if each.id == request.id), request)
            if now.finished or request.not_before or self._clock() > end:
                return now
            await asyncio.sleep(POLL)

    async def watch(self) -> None:
        stream: AsyncIterator[RequestsSeen] = self._store.follow()
        async for seen in stream:
            self._saw(seen)
            self._wake.ring()

    async def run(self) -> None:
        while True:
            await self._wake.wait(RETRY if self._answers else self._pause())
            self._update()
            if self._answers or self._housekeeping(self._seen):
                await self._write()

    def _housekeeping(self, seen: RequestsSeen) -> dict[str, Request | None]:
        """What the holder does besides: old ones are removed, annotations that cannot be a request answered."""
        if self._state.knowledge.held is None:
            return {}
        now = self._wall()
        ended = [each for each in seen.requests if each.finished and each.ended]
        changes: dict[str, Request | None] = {
            each.id: None for each in ended if now - seconds(each.ended, "ended") > KEPT
        }
        refused = [each for each in seen.requests if each.id == seen.keyed and each.finished]
        return changes | {each.id: msgspec.structs.replace(each, ended=wall()) for each in refused}

    async def _write(self) -> None:
        try:
            seen = await self._store.read(LIMIT)
            there = {request.id: request for request in seen.requests}
            changes: dict[str, Request | None] = {
                name: answer for name, answer in self._answers.items() if name in there and not there[name].finished
            }
            changes |= self._housekeeping(seen)
            if changes and seen.version:
                seen = await self._store.write(changes, seen, LIMIT)
            self._saw(seen)
        except Conflict:
            self._wake.ring()
        except StoreError as error:
            self._trouble(f"requests were not answered: {error}")
            await asyncio.sleep(RETRY)
