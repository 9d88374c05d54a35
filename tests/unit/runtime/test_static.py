"""A changed settings file ends the agent when it can be used, nothing is under way, and it is this member's turn."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from tests.unit.runtime.stand_ins import MEMBERS, Bench

from pgherd.model.knowledge import Attempt, Extension, WriteKind
from pgherd.model.settings import InvalidSetting, Settings
from pgherd.model.view import Task, TaskKind
from pgherd.runtime import static
from pgherd.runtime.__main__ import settings_for

LOOK = 0.001


class Parts:
    def __init__(self, folder: Path, member: str = "demo-0") -> None:
        self.bench = Bench(folder, member=member)
        self.file = folder / "pgherd.yaml"
        self.file.write_text("old")

    def read(self, text: str) -> Settings:
        if text == "bad":
            raise InvalidSetting("members: must be a list")
        return msgspec.structs.replace(self.bench.settings, members=tuple(text.split()))

    async def watch(self, seconds: float) -> bool:
        """Whether it ended."""
        try:
            async with asyncio.timeout(seconds):
                await static.changed(self.bench.state, self.file, "old", self.read, self.bench.log, LOOK)
        except TimeoutError:
            return False
        return True


NEW = " ".join((*MEMBERS, "demo-3"))


@pytest.fixture(autouse=True)
def _short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static, "TURN", 0.002)


def test_the_same_file_ends_nothing(tmp_path: Path) -> None:
    assert not asyncio.run(Parts(tmp_path).watch(0.2))


@pytest.mark.parametrize("member", MEMBERS)
def test_a_new_one_ends_the_agent(tmp_path: Path, member: str) -> None:
    parts = Parts(tmp_path, member)
    parts.file.write_text(NEW)
    assert asyncio.run(parts.watch(30))


@pytest.mark.parametrize("content", ["bad", None])
def test_one_that_cannot_be_used_is_named_and_left(tmp_path: Path, content: str | None) -> None:
    parts = Parts(tmp_path)
    parts.file.unlink()
    if content is not None:
        parts.file.write_text(content)
    assert not asyncio.run(parts.watch(0.3))
    assert "the settings before it stay in force" in parts.bench.output.getvalue()


@pytest.mark.parametrize("busy", ["task", "writing", "terminating"])
def test_what_is_under_way_is_not_cut_short(tmp_path: Path, busy: str) -> None:
    parts = Parts(tmp_path)
    parts.file.write_text(NEW)
    state = parts.bench.state
    setattr(state, busy, Task(TaskKind.CLONE, 0.0) if busy == "task" else True)
    assert not asyncio.run(parts.watch(0.3))
    setattr(state, busy, None if busy == "task" else False)
    assert asyncio.run(parts.watch(30))


@pytest.mark.parametrize("trouble", ["extension", "unanswered"])
def test_a_holder_waits_until_the_api_confirms_its_lease(tmp_path: Path, trouble: str) -> None:
    """A new agent would not learn that it holds, and gather no promises: the fence would end the primary (S4)."""
    parts = Parts(tmp_path)
    parts.file.write_text(NEW)
    state = parts.bench.state
    held = Attempt(nonce="n", epoch=1, t0=1.0, ttl=10.0, kind=WriteKind.RENEW, version="1")
    lost = Extension(1, 5.0, 10.0) if trouble == "extension" else (msgspec.structs.replace(held, nonce="m", t0=4.0),)
    state.knowledge = msgspec.structs.replace(state.knowledge, held=held, **{trouble: lost})
    assert not asyncio.run(parts.watch(0.3))
    state.knowledge = msgspec.structs.replace(state.knowledge, extension=None, unanswered=())
    assert asyncio.run(parts.watch(30))


def test_the_leader_comes_after_every_replica(tmp_path: Path) -> None:
    parts = Parts(tmp_path, MEMBERS[0])
    state, settings = parts.bench.state, parts.read(NEW)
    assert static.turn(state, settings) == 0
    held = Attempt(nonce="n", epoch=1, t0=1.0, ttl=10.0, kind=WriteKind.RENEW, version="1")
    state.knowledge = msgspec.structs.replace(state.knowledge, held=held)
    assert static.turn(state, settings) == len(settings.members)


YAML = """
cluster: demo
members: [demo-0]
postgres: {version: 17, bin_directory: /bin, data_directory: %s, state_directory: /tmp}
"""


def test_a_member_that_is_taken_out_counts_itself_in_while_it_has_data(tmp_path: Path) -> None:
    """It may lead, and hands over before it is removed."""
    (tmp_path / "PG_VERSION").write_text("17")
    assert settings_for(YAML % tmp_path, "demo-9").members == ("demo-0", "demo-9")
    assert settings_for(YAML % tmp_path, "demo-0").members == ("demo-0",)


def test_one_that_was_never_declared_does_not_begin(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"'demo-9' \(this pod\) is not among the declared members demo-0"):
        settings_for(YAML % (tmp_path / "none"), "demo-9")
