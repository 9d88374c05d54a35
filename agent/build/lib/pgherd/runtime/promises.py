"""Both sides of the failsafe (model.promises): a holder's rounds, and the promises that this member gives.

A round lives for the time that peers have to answer, one at a time; `answer` is called by the REST API. Nothing is
kept on the volume: an agent that starts anew waits for longer than any promise of its predecessor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from pgherd.model import promises as p
from pgherd.model.member import Pod
from pgherd.model.promises import Question, Round, Verdict
from pgherd.model.settings import promise_limit
from pgherd.runtime.lock import Lock
from pgherd.runtime.log import Log
from pgherd.runtime.ports import Clock
from pgherd.runtime.state import State, Unpromised

Asking = Callable[[tuple[Pod, ...], Question, float], Awaitable[Mapping[str, Verdict | str]]]
"""(pods, question, seconds) -> by member its verdict, or what went wrong."""

PAUSE = 0.25
"""Seconds from the end of a round that does not count to the beginning of the next, at least."""


class Promises:
    def __init__(self, state: State, lock: Lock, ask: Asking, clock: Clock, log: Log) -> None:
        self._state, self._lock, self._ask, self._clock, self._log = state, lock, ask, clock, log
        self._task: asyncio.Task[None] | None = None
        self._not_before = 0.0

    @property
    def idle(self) -> bool:
        return self._task is None or self._task.done()

    def order(self) -> None:
        """Begin a round; ignored while one is under way, and for a moment after one that did not count."""
        known = self._state.knowledge
        if known.held is None or not self.idle or self._clock() < self._not_before:
            return
        identity = self._state.identity
        begun = p.begin(known, identity.member, identity.uid, self._clock())
        self._task = asyncio.create_task(self._round(begun, known.held.nonce), name="promises")

    async def close(self) -> None:
        if self._task is not None and not self.idle:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def answer(self, asked: Question) -> Verdict:
        """This member's word to a holder; from here on the promise counts."""
        identity, known = self._state.identity, self._state.knowledge
        taking = self._state.writing and known.held is None
        refused = p.refusal(known, asked, taking)
        if not refused:
            if known.given is None or known.given.until < self._clock():
                self._log.info("promised", f"{asked.member} keeps the lease of epoch {asked.epoch} by promises")
            self._lock.promise(asked)
        return Verdict(identity.member, identity.uid, refused)

    async def _round(self, begun: Round, renewal: str) -> None:
        """`renewal`: nonce of the newest that was confirmed; when another one is meanwhile, the API is back."""
        pods = tuple(pod for pod in self._pods() if pod.member in begun.needed)
        heard = await self._ask(pods, begun.question, promise_limit(begun.question.ttl)) if pods else {}
        held = self._state.knowledge.held
        if held is not None and held.nonce != renewal:
            return
        given = frozenset(name for name, word in heard.items() if isinstance(word, Verdict) and not word.refused)
        trouble = self._lock.extend(begun, given)
        if trouble:
            self._not_before = self._clock() + PAUSE
            words = "; ".join(f"{name}: {_text(heard.get(name))}" for name in sorted(begun.needed - given))
            trouble = f"{trouble} ({words})" if words else trouble
        self._state.unpromised = Unpromised(begun.began, trouble)
        self._state.decide.ring()

    def _pods(self) -> list[Pod]:
        return [seen.pod for seen in self._state.pods or () if seen.pod.address is not None]


def _text(word: Verdict | str | None) -> str:
    return word.refused if isinstance(word, Verdict) else word or "the API shows no pod with an address"
