"""Since when a standby gets nothing: what it still does with the WAL that it has is no standstill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.runtime.stand_ins import Bench

from pgherd.model.position import Position
from pgherd.model.server import Data, Process, Server

STILL = Server(
    data=Data.PRESENT, process=Process.RUNNING, incarnation="i", position=Position(1, 9000), replayed=5000,
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "since"),
    [
        ({}, 1.0),
        ({"replayed": 6000}, 2.0),
        ({"position": Position(1, 9001)}, 2.0),
        ({"replay_waits": "RecoveryApplyDelay"}, 3.0),
        ({"streaming": True}, None),
        ({"process": Process.STOPPED, "replayed": 0, "position": Position(1, 9001)}, 1.0),
    ],
    ids=["nothing", "replays", "gains", "waits on purpose", "streams", "stopped"],
)
def test_a_standstill_is_one_of_wal_and_of_replay(tmp_path: Path, changes: dict[str, Any], since: float | None) -> None:
    state = Bench(tmp_path).state
    state.saw_server(STILL, 1.0)
    for now in (2.0, 3.0):
        state.saw_server(msgspec.structs.replace(STILL, **changes), now)
    assert state.stalled_since == since
