"""News from the Kubernetes API into the state: lock, configuration and pods, each a loop for the agent's life."""

from __future__ import annotations

from pgherd.kubernetes.store import Stores
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
        state.saw_config(seen)


async def watch_pods(state: State, stores: Stores) -> None:
    async for pods in stores.pods.follow():
        state.saw_pods(pods)
