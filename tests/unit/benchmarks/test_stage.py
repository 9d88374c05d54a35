"""What the watcher in the pod says, and when that is a whole cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.failover import contenders, stage
from pgherd_lab.cluster import Lab


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


def client(folder: Path, acked: list[float]) -> stage.Client:
    """One whose run `r` has these acknowledgements through the Service."""
    made = stage.Client(Lab(folder), contenders.Patroni("image", "patroni-default"), "image")
    made.folder = folder
    base = {"writer": "service", "id": 1, "timeline": 1, "address": "10.0.0.1"}
    lines = [json.dumps({**base, "sent": at, "acked": at}) for at in acked]
    (folder / "r.jsonl").write_text("\n".join(lines))
    return made


def every(begin: float, end: float, step: float = 0.1) -> list[float]:
    return [begin + number * step for number in range(round((end - begin) / step) + 1)]


@pytest.mark.parametrize(
    ("acked", "expected"),
    [
        pytest.param(every(90, 100), True, id="steady since the fault"),
        pytest.param([*every(80, 90), *every(96.5, 100)], True, id="steady again after the gap"),
        pytest.param([*every(80, 90), *every(98, 100)], False, id="not for long enough"),
        pytest.param(every(80, 97), False, id="not any more"),
        pytest.param([*every(90, 97), *every(98.5, 100)], False, id="with a pause between"),
        pytest.param([], False, id="never"),
    ],
)
def test_writes_are_back_when_they_are_steady(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, acked: list[float], expected: bool
) -> None:
    monkeypatch.setattr(stage, "now", lambda: 100.0)
    assert client(tmp_path, acked).resumed("r", 90.0, 3.0) is expected
