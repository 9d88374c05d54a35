"""What this member is, in annotation `status` of its own pod: for a play that sees the Kubernetes API only.

A rollout goes on by it: which configuration is in force, what waits for a restart, from whom this standby streams. It
is written when something of it changed, never to say that nothing did; a pod whose agent is gone is not Ready, so what
stands there then misleads nobody. Elections never read it. Lives with the agent.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from pgherd.kubernetes.store import StoreError, Stores
from pgherd.model.parameters import LIMITS, Change
from pgherd.model.server import Process
from pgherd.runtime.log import Changing, Log
from pgherd.runtime.state import State
from pgherd.runtime.waiting import Bell

ANNOTATION = "status"
"""After the prefix of labels; Patroni's name for the same."""
LIMIT = 3.0
"""Seconds for a request to the API."""
RETRY = 1.0
"""Seconds between two writes at least."""
SLEEP = 60.0


def digest(text: str | None) -> str:
    """Names one version of a text; the play computes the same of what it wrote."""
    return hashlib.sha256((text or "").encode()).hexdigest()[:12]


def pending(changes: Mapping[str, Change]) -> dict[str, list[str]]:
    """By parameter what runs and what is configured, where the order of restarts depends on it; no other value."""
    return {name: [each.old_value, each.new_value] if name in LIMITS else [] for name, each in changes.items()}


class Published:
    """`in_force` says whether the running server has the newest configuration."""

    def __init__(self, state: State, stores: Stores, in_force: Callable[[], bool], log: Log) -> None:
        self._state, self._store, self._in_force = state, stores.pods, in_force
        self._trouble = Changing(log, "warning", "status-annotation")
        self._wake = Bell()
        self._applied = ""

    def check(self) -> None:
        """Called with each decision: wakes the loop when the annotation is not what it should be."""
        pod = self._state.own_pod()
        if pod is not None and pod.status != self.text():
            self._wake.ring()

    def text(self) -> str:
        state, server = self._state, self._state.server
        if state.config_seen is not None and self._in_force():
            self._applied = digest(state.config_seen.config)
        said: dict[str, Any] = {"state": "unknown", "settings": state.settings_digest, "configuration": self._applied}
        if server is not None:
            running = server.process is Process.RUNNING
            said["state"] = server.process.value
            said["role"] = ("primary" if server.primary else "replica") if running else "none"
            said["timeline"] = server.position.timeline if running and server.position else None
            said["streaming_from"] = server.following if running and server.streaming else None
            said["pending_restart"] = pending(server.pending_restart)
            said["seen"] = digest(state.config_seen.config) if state.config_seen else ""
            said["refused"] = state.refused or server.refused
        return msgspec.json.encode(said, order="sorted").decode()

    async def run(self) -> None:
        while True:
            text, pod = self.text(), self._state.own_pod()
            if pod is not None and pod.status != text:
                await self._write(text)
                await asyncio.sleep(RETRY)  # the watch shows it by then
            await self._wake.wait(SLEEP)

    async def _write(self, text: str) -> None:
        try:
            name = f"{self._state.settings.label_prefix}{ANNOTATION}"
            await self._store.annotate(self._state.identity.member, name, text, LIMIT)
            self._trouble("")
        except StoreError as error:
            self._trouble(f"annotation {ANNOTATION} of this pod was not written: {error}")
