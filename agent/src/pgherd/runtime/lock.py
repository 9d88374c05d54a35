"""Every change of what this member knows of the lease goes through here, and with it the fence's deadline.

The arithmetic is model.knowledge (pure, shared with the simulation). This adds what has side effects:
the fence hears of each change at once (S4), the mapping holds every write that may still succeed, the
volume keeps the newest epoch, and late news never replaces newer ones.
"""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

from pgherd.kubernetes.store import LockSeen, LockStore, StoreError, older
from pgherd.model import knowledge as k
from pgherd.model import promises as p
from pgherd.model.knowledge import GIVES_UP, Attempt, Extension, Knowledge
from pgherd.model.promises import Question, Round
from pgherd.model.settings import margin
from pgherd.runtime import seen as lease_seen
from pgherd.runtime.log import Changing, Log
from pgherd.runtime.ports import Clock, Fence
from pgherd.runtime.state import State


class Lock:
    def __init__(self, state: State, store: LockStore, fence: Fence, clock: Clock, log: Log) -> None:
        self._state, self._store, self._fence, self._clock, self._log = state, store, fence, clock, log
        self._trouble = Changing(log, "error", "lock-trouble")
        self._path = Path(state.settings.postgres.state_directory) / "lease-seen.json"
        self._applied = 0.0
        self._given_up = 0.0
        self._kept: lease_seen.LeaseSeen | None = None
        self._wanted: lease_seen.LeaseSeen | None = None
        self._keep: asyncio.Task[None] | None = None

    def inherit(self) -> None:
        """What an earlier agent of this container left: its writes may have succeeded, its deadline stands."""
        attempts = self._fence.attempts()
        self._kept = self._wanted = lease_seen.read_seen(self._path)
        kept = self._kept or lease_seen.LeaseSeen(0)
        self._state.knowledge = Knowledge(
            unanswered=attempts, highest_epoch=kept.epoch, last=kept.record, extension=self._inherited(attempts),
        )  # fmt: skip
        if self._fence.paused():
            pass  # whatever the deadline says: only a pause that is still recorded survives the first look
        elif self._fence.deadline() == 0.0:
            # It gave the lease up, or never held it: only a later write of this agent may arm (S4).
            self._given_up = self._clock()
        elif self._fence.deadline() > self._clock():
            # An agent that died between the two halves of an arming left a deadline that nobody enforces.
            self._fence.arm(self._fence.deadline(), self._fence.lease_end())

    def _inherited(self, attempts: tuple[Attempt, ...]) -> Extension | None:
        """What the deadline that stands rests on, if it is promises: to read the lease back must not move it back.

        A millisecond less, so that no rounding moves it forward, and none makes a renewal look like promises.
        """
        if not attempts or self._fence.deadline() <= self._clock():
            return None
        ttl = min(attempt.ttl for attempt in attempts)
        began = self._fence.deadline() - ttl + margin(ttl) - 0.001
        return Extension(max(attempt.epoch for attempt in attempts), began, ttl)

    def saw(self, seen: LockSeen, began: float | None = None) -> bool:
        """News of the lock object. `began`: when the read (not a watch) that brought it was sent.

        Returns False when it is older than what is known, or bad news that only a read may bring.
        """
        known = self._state.knowledge
        read_later = began is not None and began >= self._applied
        if seen.record is None:
            if not read_later:
                return False
            self._change(k.lost(known, seen.trouble, seen.version, self._clock()))
        else:
            if older(seen.version, known.version) and not read_later:
                return False
            self._change(k.observed(known, seen.record, seen.version, self._clock()))
        self._applied = self._clock()
        self._state.lock_read = True
        self._trouble(self._state.knowledge.trouble)
        return True

    async def refresh(self, limit: float) -> bool:
        """Read the object now; whether it answered."""
        began = self._clock()
        try:
            seen = await self._store.read(limit)
        except StoreError as error:
            self._trouble(f"cannot read the lock object: {error}")
            return False
        self.saw(seen, began)
        return True

    def sending(self, attempt: Attempt) -> None:
        """Before the request leaves (S4): what gives the lease up takes the deadline away first."""
        if attempt.kind in GIVES_UP:
            self._given_up = self._clock()
            self._fence.withdraw()
        self._fence.record_attempt(attempt)
        self._change(k.sent(self._state.knowledge, attempt))

    def excluded(self, nonce: str) -> None:
        """The server refused it: it never happened."""
        self._change(k.refused(self._state.knowledge, nonce))

    def extend(self, begun: Round, given: frozenset[str]) -> str:
        """A round of promises has ended: the deadline follows it if it counts, else why it does not (S1)."""
        known = self._state.knowledge
        trouble = p.uncounted(known, begun, given, self._clock())
        if not trouble:
            self._change(p.extend(known, begun))
        return trouble

    def promise(self, asked: Question) -> None:
        """This member has promised its holder not to take the lease."""
        self._change(p.promise(self._state.knowledge, asked, self._clock()))

    def forget_own(self, why: str) -> None:
        """Treat the own lease as another's: kill first, ask later."""
        self._log.error("lease-dropped", why)
        self._given_up = self._clock()
        self._change(k.dropped(self._state.knowledge, why))

    def _change(self, knowledge: Knowledge) -> None:
        before, self._state.knowledge = self._state.knowledge, knowledge
        self._obey()
        keep = {a.nonce for a in knowledge.unanswered} | ({knowledge.held.nonce} if knowledge.held else set())
        gone = tuple(a.nonce for a in self._fence.attempts() if a.nonce not in keep)
        if gone:
            self._fence.forget_attempts(gone)
        if knowledge.record is not None and knowledge.record is not before.record:
            self._remember(before, knowledge)
            if before.record is None or before.record.nonce != knowledge.record.nonce:
                self._state.look.ring()
        self._state.decide.ring()

    def _obey(self) -> None:
        """The fence's deadline follows knowledge; forwards only from a write confirmed after the last surrender."""
        wanted = k.armed_until(self._state.knowledge, self._given_up)
        if wanted == (math.inf if self._fence.paused() else self._fence.deadline()):
            return
        if wanted == 0.0:
            self._fence.withdraw()
        elif wanted == math.inf:
            self._log.info("fence-disarmed", "the lease records a pause: the fence is disarmed")
            self._fence.pause()
        else:
            self._fence.arm(wanted, k.expires(self._state.knowledge))

    def _remember(self, before: Knowledge, knowledge: Knowledge) -> None:
        """On the volume, when its content changed or may have, unseen: renewals cost it no write."""
        seen, last = lease_seen.of(knowledge.highest_epoch, knowledge.last), before.last
        next_one = last is not None and knowledge.last is not None and knowledge.last.serial <= last.serial + 1
        if next_one and self._wanted is not None and lease_seen.covers(self._wanted, seen):
            return
        self._wanted = seen
        if self._keep is None or self._keep.done():
            self._keep = asyncio.create_task(self._write_seen(), name="lease-seen")

    async def _write_seen(self) -> None:
        """Until the file has the newest, which may change meanwhile; after a failure the next news tries again."""
        try:
            while self._wanted is not None and self._kept != self._wanted:
                seen = self._wanted
                await asyncio.to_thread(lease_seen.write_seen, self._path, seen)
                self._kept = seen
        except OSError as error:
            self._wanted = None
            self._log.warning("lease-seen", f"cannot keep the newest lease on the volume: {error}")
