"""A deleted configuration object: what it said last stays in force, also for an agent that starts meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.unit.runtime.stand_ins import Bench, reached

from pgherd.kubernetes.store import ConfigSeen
from pgherd.runtime.config_kept import ConfigKept

TEXT = '{"ttl": 40, "maximum_lag_on_failover": 5}'
SEEN = ConfigSeen("1", "7000", TEXT, "[]")
GONE = ConfigSeen()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def started(folder: Path) -> tuple[Bench, ConfigKept]:
    """An agent on that volume; what an earlier one kept is known to it."""
    bench = Bench(folder)
    kept = ConfigKept(bench.state, bench.log)
    kept.inherit()
    return bench, kept


def blocked(folder: Path) -> Path:
    (folder / "configuration.new").mkdir()
    return folder


async def kept_by(folder: Path, *seen: ConfigSeen) -> Path:
    bench, kept = started(folder)
    for each in seen:
        bench.state.saw_config(each)
        kept.check()
        await reached(lambda: not [task for task in asyncio.all_tasks() if task.get_name() == "configuration-kept"])
    return Path(bench.state.settings.postgres.state_directory) / "configuration.json"


async def test_an_agent_that_starts_without_the_object_obeys_what_it_said(folder: Path) -> None:
    path = await kept_by(folder, SEEN)
    assert path.stat().st_mode & 0o077 == 0
    bench, _ = started(folder)
    bench.state.saw_config(GONE)
    assert bench.state.configuration.ttl == 40 and bench.state.configuration.maximum_lag_on_failover == 5
    assert bench.state.config_seen is not None and bench.state.config_seen.initialize == "7000"
    assert "the configuration object is missing" in bench.output.getvalue()


async def test_it_obeys_the_object_once_that_is_there(folder: Path) -> None:
    await kept_by(folder, SEEN)
    bench, _ = started(folder)
    for seen in (GONE, GONE, ConfigSeen("9", None, '{"ttl": 50}')):
        bench.state.saw_config(seen)
    assert bench.state.configuration.ttl == 50
    assert bench.state.config_seen is not None and bench.state.config_seen.initialize is None


async def test_what_is_refused_is_not_kept_and_neither_is_a_loss(folder: Path) -> None:
    await kept_by(folder, SEEN, ConfigSeen("2", "7000", '{"ttl": "long"}'), GONE)
    bench, _ = started(folder)
    bench.state.saw_config(GONE)
    assert bench.state.configuration.ttl == 40


async def test_an_empty_volume_has_the_defaults(folder: Path) -> None:
    bench, kept = started(folder)
    kept.check()
    bench.state.saw_config(GONE)
    assert bench.state.configuration.ttl == 10


UNUSABLE = pytest.mark.parametrize("content", [b"", b"{", b'{"config": "\xff"}', b'{"config": "{\\"ttl\\": 1}"}'])


@UNUSABLE
async def test_a_file_that_cannot_be_used_is_said_and_stops_nobody(folder: Path, content: bytes) -> None:
    path = await kept_by(folder, SEEN)
    path.write_bytes(content)
    bench, _ = started(folder)
    assert "configuration-kept" in bench.output.getvalue()
    bench.state.saw_config(SEEN)
    assert bench.state.configuration.ttl == 40


@UNUSABLE
@pytest.mark.parametrize("seen", [GONE, ConfigSeen("2", "7000", '{"ttl": "long"}')], ids=["missing", "refused"])
async def test_what_another_version_kept_is_not_replaced_by_nothing(
    folder: Path, content: bytes, seen: ConfigSeen
) -> None:
    path = await kept_by(folder, SEEN)
    path.write_bytes(content)
    await kept_by(folder, seen)
    assert path.read_bytes() == content


async def test_a_decision_knows_that_its_configuration_is_an_earlier_agents(folder: Path) -> None:
    await kept_by(folder, SEEN)
    bench, _ = started(folder)
    bench.state.saw_config(GONE)
    assert not bench.state.view(0.0, 1.0).configuration_read
    bench.state.saw_config(ConfigSeen("2", "7000", '{"ttl": "long"}'))
    assert bench.state.configuration.ttl == 40
    assert not bench.state.view(0.0, 1.0).configuration_read, "an object that is refused leaves what was kept in force"
    bench.state.saw_config(ConfigSeen("3", "8000", None))
    assert bench.state.configuration.ttl == 40 and bench.state.config_seen.initialize == "8000"
    assert "annotation config is missing" in bench.output.getvalue()
    assert not bench.state.view(0.0, 1.0).configuration_read, "nor does one without the annotation replace it"
    bench.state.saw_config(ConfigSeen("4", "7000", '{"ttl": 50}'))
    bench.state.saw_config(GONE)
    assert bench.state.view(0.0, 1.0).configuration_read and bench.state.configuration.ttl == 50


async def test_neither_are_the_defaults_its_objects(folder: Path) -> None:
    bench, _ = started(folder)
    bench.state.saw_config(GONE)
    assert not bench.state.view(0.0, 1.0).configuration_read


async def test_a_volume_that_takes_no_writes_is_said(folder: Path) -> None:
    bench, kept = started(blocked(folder))
    bench.state.saw_config(SEEN)
    kept.check()
    await reached(lambda: "cannot keep the configuration" in bench.output.getvalue())
