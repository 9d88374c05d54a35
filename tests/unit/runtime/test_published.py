"""What a member says of itself in its pod's annotation, and when it says it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.runtime.stand_ins import Bench, reached

from pgherd.kubernetes.store import ConfigSeen, PodSeen
from pgherd.model.member import Pod
from pgherd.model.parameters import Change
from pgherd.model.position import Position
from pgherd.model.server import Data, Process, Server
from pgherd.runtime.published import ANNOTATION, Published, digest

CONFIG = '{"ttl": 20}'
STANDBY = Server(Data.PRESENT, Process.RUNNING, position=Position(3, 100), following="demo-1", streaming=True)


class Parts:
    def __init__(self, folder: Path) -> None:
        self.bench = bench = Bench(folder)
        self.loaded = True
        self.published = Published(bench.state, bench.stores, lambda: self.loaded, bench.log)
        bench.state.settings_digest = "s1"
        bench.state.saw_config(ConfigSeen(version="1", config=CONFIG))
        bench.state.server = STANDBY
        self.shows("")

    def shows(self, status: str) -> None:
        identity = self.bench.identity
        self.bench.state.pods = (PodSeen(Pod(identity.member, identity.uid), status=status),)

    def said(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.published.text())
        return found


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return Parts(tmp_path)


def test_a_streaming_standby(parts: Parts) -> None:
    assert parts.said() == {
        "state": "running", "role": "replica", "timeline": 3, "streaming_from": "demo-1", "pending_restart": {},
        "settings": "s1", "configuration": digest(CONFIG), "seen": digest(CONFIG), "refused": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ({"primary": True, "streaming": False, "following": None}, {"role": "primary", "streaming_from": None}),
        ({"streaming": False}, {"streaming_from": None}),
        ({"process": Process.STOPPED}, {"state": "stopped", "role": "none", "streaming_from": None, "timeline": None}),
        ({"refused": "no such library"}, {"refused": "no such library"}),
        (
            {"pending_restart": {"max_connections": Change("100", "50"), "shared_preload_libraries": Change("", "x")}},
            {"pending_restart": {"max_connections": ["100", "50"], "shared_preload_libraries": []}},
        ),
    ],
)
def test_what_differs(parts: Parts, server: dict[str, Any], expected: dict[str, Any]) -> None:
    parts.bench.state.server = msgspec.structs.replace(STANDBY, **server)
    said = parts.said()
    assert {name: said[name] for name in expected} == expected


def test_a_new_configuration_is_in_force_when_it_was_loaded(parts: Parts) -> None:
    assert parts.said()["configuration"] == digest(CONFIG)
    parts.loaded = False
    parts.bench.state.saw_config(ConfigSeen(version="2", config='{"ttl": 30}'))
    assert (parts.said()["configuration"], parts.said()["seen"]) == (digest(CONFIG), digest('{"ttl": 30}'))
    parts.loaded = True
    assert parts.said()["configuration"] == digest('{"ttl": 30}')


def test_it_is_written_when_something_changed_and_not_again(parts: Parts) -> None:
    async def script() -> None:
        loop = asyncio.create_task(parts.published.run())
        written = parts.bench.memory.annotations
        await reached(lambda: bool(written))
        text = written[parts.bench.identity.member, f"pgherd.dev/{ANNOTATION}"]
        assert text == parts.published.text()
        loop.cancel()
        parts.shows(text)
        written.clear()
        loop = asyncio.create_task(parts.published.run())
        parts.published.check()
        for _ in range(20):
            await asyncio.sleep(0)
        assert not written
        parts.bench.state.server = msgspec.structs.replace(STANDBY, streaming=False)
        parts.published.check()
        await reached(lambda: bool(written))
        loop.cancel()

    asyncio.run(script())


def test_an_api_that_refuses_is_named_once_and_ends_nothing(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    from pgherd.kubernetes.store import Refused
    from pgherd.runtime import published

    calls: list[str] = []

    async def annotate(name: str, annotation: str, text: str, limit: float) -> None:
        calls.append(name)
        raise Refused(403, f"annotate pod {name}: forbidden")

    monkeypatch.setattr(published, "RETRY", 0.0)
    monkeypatch.setattr(parts.bench.stores.pods, "annotate", annotate)

    async def script() -> None:
        loop = asyncio.create_task(parts.published.run())
        for count in (1, 2, 3):
            await reached(lambda count=count: len(calls) >= count)  # type: ignore[misc]
            parts.published.check()
        assert not loop.done()
        loop.cancel()

    asyncio.run(script())
    assert parts.bench.output.getvalue().count("forbidden") == 1
