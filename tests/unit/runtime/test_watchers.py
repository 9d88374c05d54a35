"""News of the configuration object that is late must not undo what an own write has just said."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.runtime.stand_ins import Bench

from pgherd.kubernetes.store import ConfigSeen, Unanswered
from pgherd.runtime.state import State
from pgherd.runtime.watchers import watch_config

STANDBY = ConfigSeen("10", "7000", '{"standby_cluster": {"host": "main.example"}}')
PROMOTED = ConfigSeen("11", "7000", "{}")
RESTORED = ConfigSeen("4", "7000", '{"ttl": 40}')


class Store:
    """A watch that tells `told`; a read gives `truth`, and meanwhile `between` comes from elsewhere."""

    def __init__(self, state: State, told: ConfigSeen, truth: ConfigSeen | None, between: ConfigSeen | None = None):
        self._state, self._told, self._truth, self._between = state, told, truth, between

    async def follow(self) -> AsyncIterator[ConfigSeen]:
        yield self._told

    async def read(self, _limit: float) -> ConfigSeen:
        if self._between is not None:
            self._state.saw_config(self._between)
        if self._truth is None:
            raise Unanswered("no answer")
        return self._truth


@pytest.mark.parametrize(
    ("told", "truth", "between", "version"),
    [
        (STANDBY, PROMOTED, None, "11"),
        (STANDBY, None, None, "11"),
        (RESTORED, RESTORED, None, "4"),
        (STANDBY, STANDBY, ConfigSeen("12", "7000", "{}"), "12"),
        (ConfigSeen("12", "7000", "{}"), None, None, "12"),
    ],
    ids=["late", "late and no answer", "put back", "a write while it is read", "newer"],
)
async def test_late_news_is_read_again(
    tmp_path: Path, told: ConfigSeen, truth: ConfigSeen | None, between: ConfigSeen | None, version: str
) -> None:
    state = Bench(tmp_path).state
    state.saw_config(PROMOTED)
    stores: Any = SimpleNamespace(config=Store(state, told, truth, between))
    await watch_config(state, stores)
    assert state.config_seen is not None and state.config_seen.version == version
    assert state.configuration.standby_cluster is None
