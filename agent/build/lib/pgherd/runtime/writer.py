"""Writes of the lock object: one compare-and-swap at a time (ha-protocol §2, "Writes").

Nonce, t0, version and kind are in the fence's mapping before a request leaves; a request without an answer
is read back, and until then the stricter of both outcomes counts (model.knowledge).
"""

from __future__ import annotations

import asyncio
import math
import uuid
from collections.abc import Callable

import msgspec

from pgherd.kubernetes.store import Conflict, LockSeen, LockStore, Refused, Unanswered
from pgherd.model import knowledge as k
from pgherd.model.actions import Reason, WriteLease
from pgherd.model.knowledge import Attempt, Knowledge, WriteKind
from pgherd.model.lease import Holder, Lease
from pgherd.model.mapping import TableFull
from pgherd.runtime.lock import Lock
from pgherd.runtime.log import Changing, Log, wall
from pgherd.runtime.ports import Clock
from pgherd.runtime.state import State
from pgherd.runtime.tally import CONFIRMED, CONFLICT, REFUSED, UNANSWERED, WRITE_SECONDS, WRITES

SHORTEST = 0.3
"""Seconds that a write is given at least."""
MANY = 8
"""Writes without an answer, after which the lock must be read before another is sent: an API that is away for hours
must not fill the table of those that may still happen, since none of them is excluded before one more is confirmed."""
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 1.0

Written = Callable[[WriteLease, Lease, Lease, Reason], None]
"""Called after a confirmed write with the action, the record before, the record written, and the reason."""


class Writer:
    def __init__(self, state: State, lock: Lock, store: LockStore, clock: Clock, log: Log, written: Written) -> None:
        self._state, self._lock, self._store, self._clock, self._log = state, lock, store, clock, log
        self._written = written
        self._trouble = Changing(log, "warning", "lease-write")
        self._task: asyncio.Task[None] | None = None
        self._pending: tuple[WriteLease, Lease, Lease, Reason] | None = None
        self._pause = 0.0
        self.not_before = 0.0
        """Boot time before which no further write is sent: after one that failed."""

    def submit(self, action: WriteLease, reason: Reason) -> None:
        """Order a write; ignored while one is under way (the next decision orders it again if it still wants it).

        What is known now is what was decided on: news that comes before the request leaves must make it fail (S1).
        """
        if self._state.writing or self._clock() < self.not_before:
            return
        self._state.writing = True
        self._task = asyncio.create_task(self._write(action, reason, self._state.knowledge), name="lease-write")

    def settle(self) -> None:
        """Tell of the last write once it is confirmed: by its own reply, or by whatever was read since."""
        held, record = self._state.knowledge.held, self._state.knowledge.record
        if self._pending is None or record is None:
            return
        action, before, written, reason = self._pending
        gave_up = action.kind in (WriteKind.HANDOVER, WriteKind.RELEASE)
        if record.nonce == written.nonce and (gave_up or (held is not None and held.nonce == written.nonce)):
            self._pending = None
            self._trouble("")
            self._written(action, before, written, reason)

    async def close(self) -> None:
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _fill(self, action: WriteLease, before: Lease) -> Lease:
        """The record as it goes out: whose write it is, and times for people."""
        record, now = action.record, wall()
        holder = Holder(
            uid=self._state.identity.uid,
            container=self._state.container.id,
            nonce=str(uuid.uuid4()),
            timeline=record.holder.timeline if record.holder else 0,
            writable=record.holder.writable if record.holder else 0,
            pause=record.pause,
            standby=record.holder.standby if record.holder else False,
            highest=record.holder.highest if record.holder else 0,
            serial=before.serial + 1,
        )
        acquired = now if action.kind is WriteKind.TAKE else before.acquire_time
        return msgspec.structs.replace(record, holder=holder, acquire_time=acquired, renew_time=now)

    def _limit(self) -> float:
        """A third of what is left of the own lease, so that there is time for another attempt on a new connection."""
        known = self._state.knowledge
        limit = self._state.configuration.retry_timeout
        if known.held is not None and 0 < k.deadline(known) < math.inf:
            # In tenths: what is logged of a long outage stays the same sentence.
            limit = min(limit, max(SHORTEST, math.floor((k.deadline(known) - self._clock()) / 3 * 10) / 10))
        return limit

    async def _write(self, action: WriteLease, reason: Reason, known: Knowledge) -> None:
        try:
            ok = await self._attempt(action, reason, known)
            self._pause = 0.0 if ok else min(max(FIRST_PAUSE, 2 * self._pause), LONGEST_PAUSE)
            self.not_before = self._clock() + self._pause
        finally:
            self._state.writing = False
            self._state.decide.ring()

    async def _attempt(self, action: WriteLease, reason: Reason, known: Knowledge) -> bool:
        before = known.record or known.last  # in an accident the holder writes over what is there, or anew
        if before is None:
            return False
        limit = self._limit()
        if len(known.unanswered) >= MANY and not await self._lock.refresh(limit):
            return False
        record = self._fill(action, before)
        attempt = Attempt(
            record.nonce, self._clock(), record.ttl, action.kind, record.epoch, known.base, record.candidates,
            record.pause,
        )  # fmt: skip
        first = self._state.container.writing()
        try:
            self._lock.sending(attempt)
        except TableFull as error:
            self._trouble(str(error))
            return await self._lock.refresh(limit) and False
        self._pending = (action, before, record, reason)
        confirmed = await self._send(attempt, record, limit)
        if first and self._excluded(attempt):
            self._state.container.never_wrote()
        self.settle()
        return confirmed

    async def _send(self, attempt: Attempt, record: Lease, limit: float) -> bool:
        """The request and its outcome; returns whether there is no reason to pause before the next one."""
        began, tally, kind = self._clock(), self._state.tally, attempt.kind.value
        try:
            self._lock.saw(await self._timed(record, attempt, limit), began)
            tally.add(WRITES, kind, CONFIRMED)
        except Conflict as error:
            tally.add(WRITES, kind, CONFLICT)
            self._lock.excluded(attempt.nonce)
            self._trouble(f"somebody else wrote the lock object first: {error}")
            return await self._lock.refresh(limit)
        except Refused as error:
            tally.add(WRITES, kind, REFUSED)
            self._lock.excluded(attempt.nonce)
            self._trouble(f"the lock object was not written: {error}")
            if error.status == 404:
                await self._lock.refresh(limit)  # it is gone: whoever wrote it last makes it again
            return False
        except Unanswered as error:
            tally.add(WRITES, kind, UNANSWERED)
            self._trouble(f"a write of the lock object has no answer: {error}")
            return await self._lock.refresh(limit) and self._confirmed(attempt)
        return True

    async def _timed(self, record: Lease, attempt: Attempt, limit: float) -> LockSeen:
        began = self._clock()
        try:
            return await self._store.write(record, attempt.version, limit)
        finally:
            self._state.tally.add(WRITE_SECONDS, by=max(0.0, self._clock() - began))

    def _excluded(self, attempt: Attempt) -> bool:
        """Neither read back nor possible any more."""
        known = self._state.knowledge
        held = known.held is not None and known.held.nonce == attempt.nonce
        return not held and all(each.nonce != attempt.nonce for each in known.unanswered)

    def _confirmed(self, attempt: Attempt) -> bool:
        record = self._state.knowledge.record
        return record is not None and record.nonce == attempt.nonce
