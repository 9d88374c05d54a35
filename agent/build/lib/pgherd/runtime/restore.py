"""Puts a record where the lock object is missing or broken, as the decision ordered; one request at a time.

Not a write of the lease: it makes nobody a holder, so neither fence nor mapping hear of it.
"""

from __future__ import annotations

import asyncio

from pgherd.kubernetes.store import Conflict, LockStore, StoreError
from pgherd.model.actions import RestoreLease
from pgherd.model.lease import Lease
from pgherd.runtime.lock import Lock
from pgherd.runtime.log import Changing, Log
from pgherd.runtime.ports import Clock
from pgherd.runtime.state import State

LIMIT = 3.0
"""Seconds for a request to the API."""
RETRY = 1.0


class Restore:
    def __init__(self, state: State, lock: Lock, store: LockStore, clock: Clock, log: Log) -> None:
        self._state, self._lock, self._store, self._clock, self._log = state, lock, store, clock, log
        self._trouble = Changing(log, "warning", "lock-restore")
        self._task: asyncio.Task[None] | None = None

    def order(self, action: RestoreLease) -> None:
        """What is known now is what was decided on: an object that somebody made meanwhile stays as it is."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(
                self._write(action.record, self._state.knowledge.base), name="lock-restore"
            )

    async def _write(self, record: Lease, version: str) -> None:
        began = self._clock()
        try:
            self._lock.saw(await self._store.write(record, version, LIMIT), began)
            self._trouble("")
            self._log.warning("lock-restored", f"the lock object was restored under epoch {record.epoch}")
        except Conflict:
            await self._lock.refresh(LIMIT)
        except StoreError as error:
            self._trouble(f"the lock object cannot be restored: {error}")
            await self._lock.refresh(LIMIT)
            await asyncio.sleep(RETRY)
        self._state.decide.ring()
