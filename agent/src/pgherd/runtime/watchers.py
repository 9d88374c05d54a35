"""News from the Kubernetes API into the state: lock, configuration and pods, each a loop for the agent's life."""

from __future__ import annotations

import contextlib

from pgherd.kubernetes.store import StoreError, Stores
from pgherd.runtime.lock import Lock
from pgherd.runtime.state import State

READ_LIMIT = 2.0
"""Seconds for a read that checks bad or out-of-order news."""


async def watch_lock(state: State, stores: Stores, lock: Lock) -> None:
    async for seen in stores.lock.follow():
        if not lock.saw(seen) and (seen.record is None or seen.version != state.knowledge.version):
            # A deletion may be followed by a creation, and late news by nothing: only a read decides.
            await lock.refresh(READ_LIMIT)


async def watch_config(state: State, stores: Stores) -> None:
    async for seen in stores.config.follow():
        if not state.saw_config(seen):
            # Late news, or an API that was put back to an earlier state: only a read tells which.
            known = state.config_seen
            with contextlib.suppress(StoreError):
                read = await stores.config.read(READ_LIMIT)
                state.saw_config(read, certain=state.config_seen is known)


async def watch_pods(state: State, stores: Stores) -> None:
    async for pods in stores.pods.follow():
        state.saw_pods(pods)
