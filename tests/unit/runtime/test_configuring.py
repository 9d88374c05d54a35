"""A change over REST reaches the object by compare-and-swap: nobody else's is lost, a mistake changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.runtime.stand_ins import Bench

from pgherd.kubernetes.memory import MemoryConfig
from pgherd.kubernetes.store import ConfigSeen, Conflict, Refused, Unanswered
from pgherd.rest.configuring import Invalid, NotStored, Overtaken
from pgherd.runtime.configuring import ATTEMPTS, changer

BEFORE = {"ttl": 30, "loop_wait": 10, "postgresql": {"parameters": {"work_mem": "4MB"}}}


class Stage(Bench):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.change = changer(self.state, self.stores.config, self.log)
        self.put(json.dumps(BEFORE))

    def put(self, config: str | None) -> None:
        self.memory.config.put(ConfigSeen(self.memory.next_version(), "42", config))

    def stored(self) -> Any:
        return json.loads(self.memory.config.value.config or "null")


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr("pgherd.runtime.configuring.RETRY", 0.0)
    return Stage(tmp_path)


async def test_a_patch_is_merged_and_in_force_here_at_once(stage: Stage) -> None:
    after = await stage.change({"loop_wait": None, "postgresql": {"parameters": {"jit": "on"}}}, False, "CN=me")
    assert after == stage.stored() == {
        "ttl": 30, "postgresql": {"parameters": {"work_mem": "4MB", "jit": "on"}}
    }  # fmt: skip
    assert stage.state.configuration.postgresql.parameters["jit"] == "on"
    assert stage.memory.config.value.initialize == "42"
    assert "changed by CN=me over REST: loop_wait, postgresql" in stage.output.getvalue()


async def test_a_put_replaces_all_and_mends_what_cannot_be_read(stage: Stage) -> None:
    assert await stage.change({"ttl": 20, "pause": None}, True, "me") == stage.stored() == {"ttl": 20}
    stage.put("[")
    with pytest.raises(Invalid, match="annotation config cannot be read"):
        await stage.change({"ttl": 21}, False, "me")
    assert await stage.change({"ttl": 22}, True, "me") == stage.stored() == {"ttl": 22}


async def test_a_mistake_changes_nothing(stage: Stage) -> None:
    version = stage.memory.config.value.version
    for body, text in (
        ({"ttl": 1}, "ttl=1: must be at least 3"),
        ({"postgresql": {"parameters": {"primary_conninfo": "x"}}}, "pgherd sets this parameter itself"),
        ({"postgresql": {"before_stop": "sleep"}}, "absolute path"),
    ):
        with pytest.raises(Invalid, match=text):
            await stage.change(body, False, "me")
    await stage.change(BEFORE, True, "me")
    assert stage.memory.config.value.version == version


async def test_somebody_elses_change_in_between_stays(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    write, failed = MemoryConfig.write, []

    async def overtaken(self: MemoryConfig, *given: Any) -> ConfigSeen:
        if not failed:
            failed.append(True)
            stage.put(json.dumps({**BEFORE, "pause": True}))
            raise Conflict("modified")
        return await write(self, *given)

    monkeypatch.setattr(MemoryConfig, "write", overtaken)
    await stage.change({"ttl": 20}, False, "me")
    assert stage.stored() == {**BEFORE, "pause": True, "ttl": 20}


async def test_it_ends_when_others_always_come_first(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[Any] = []

    async def conflicts(self: MemoryConfig, *given: Any) -> ConfigSeen:
        tries.append(given)
        raise Conflict("modified")

    monkeypatch.setattr(MemoryConfig, "write", conflicts)
    with pytest.raises(Overtaken):
        await stage.change({"ttl": 20}, False, "me")
    assert len(tries) == ATTEMPTS and stage.stored() == BEFORE


@pytest.mark.parametrize("happens", [True, False])
async def test_a_write_without_an_answer_is_looked_up(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, happens: bool
) -> None:
    write = MemoryConfig.write

    async def lost(self: MemoryConfig, *given: Any) -> ConfigSeen:
        if happens:
            await write(self, *given)
        raise Unanswered("no answer")

    monkeypatch.setattr(MemoryConfig, "write", lost)
    if happens:
        assert (await stage.change({"ttl": 20}, False, "me"))["ttl"] == 20
    else:
        with pytest.raises(NotStored, match="no answer"):
            await stage.change({"ttl": 20}, False, "me")


async def test_what_the_api_refuses_is_told(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(self: MemoryConfig, *given: Any) -> ConfigSeen:
        raise Refused(403, "patch endpoints: forbidden")

    monkeypatch.setattr(MemoryConfig, "write", refused)
    with pytest.raises(NotStored, match="forbidden"):
        await stage.change({"ttl": 20}, False, "me")
    stage.memory.config.put(ConfigSeen())
    with pytest.raises(NotStored, match="run the play"):
        await stage.change({"ttl": 20}, False, "me")
