"""What the watcher in the pod says, and when that is a whole cluster."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.failover import stage


def status(written: bool = True, **seen: tuple[float, bool]) -> stage.Status:
    members: dict[str, Any] = {name: {"at": at, "recovery": recovery} for name, (at, recovery) in seen.items()}
    return stage.parse_status(json.dumps({"at": 100.0, "written": written, "seen": members}))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (status(a=(100.0, False), b=(99.8, True), c=(99.9, True)), True),
        (status(False, a=(100.0, False), b=(99.8, True), c=(99.9, True)), False),
        (status(a=(100.0, False), b=(90.0, True), c=(99.9, True)), False),
        (status(a=(100.0, False), b=(100.0, False), c=(99.9, True)), False),
        (status(a=(100.0, False), b=(100.0, True)), False),
        (status(), False),
    ],
    ids=["whole", "nobody writes", "one lags", "two primaries", "one is silent", "nobody answers"],
)
def test_whole(found: stage.Status, expected: bool) -> None:
    assert stage.whole(found, 2) is expected
