"""Clone methods in order: who fails makes room for the next, and what is replaced is kept as far as it must be (S5)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.postgres.test_making import CONTROL, GOOD, LINE, Stage

from pgherd.model.methods import BASEBACKUP, Method
from pgherd.model.position import Position
from pgherd.model.standby import RemoteLine
from pgherd.postgres import control, incarnation, remote
from pgherd.postgres.clone import clone
from pgherd.postgres.control import ControlData
from pgherd.postgres.errors import PostgresError, WouldDestroy
from pgherd.postgres.layout import Layout

SEGMENT = "000000010000000000000001"


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    async def read(layout: Layout, directory: Path) -> ControlData | None:
        return CONTROL

    async def line(conninfo: str) -> RemoteLine:
        return LINE

    monkeypatch.setattr(control, "read", read)

    async def tablespaces(conninfo: str) -> list[str]:
        return []

    monkeypatch.setattr(remote, "line", line)
    monkeypatch.setattr(remote, "tablespaces", tablespaces)
    made = Stage(tmp_path / "volume")
    made.program("bin/pg_basebackup", f'PGDATA="$2"\n{GOOD}\ntouch "$2/by_basebackup"')
    return made


def old_data(stage: Stage) -> str:
    """Of the same cluster, and diverged."""
    (stage.layout.data / "pg_wal").mkdir(parents=True)
    (stage.layout.wal / SEGMENT).touch()
    (stage.layout.data / "old").touch()
    return incarnation.renew(stage.layout.data)


def method(stage: Stage, name: str, text: str, keep_data: bool = False) -> Method:
    return Method(name, stage.program(name, text), keep_data=keep_data)


async def copied(stage: Stage, *methods: Method, replacing: bool = True) -> None:
    await clone(stage.making, "host=x", ("42", Position(1, 500)), replacing, methods)


async def test_without_methods_of_its_own_it_is_pg_basebackup(stage: Stage) -> None:
    await copied(stage, BASEBACKUP)
    assert (stage.layout.data / "by_basebackup").exists() and (stage.layout.data / "standby.signal").exists()
    assert incarnation.read(stage.layout.data) and not stage.layout.new.exists()


async def test_who_fails_leaves_nothing_to_the_next_one(stage: Stage) -> None:
    bad = method(stage, "bad", 'mkdir "$PGDATA"; touch "$PGDATA/half"; exit 3')
    good = method(stage, "good", f'test ! -e "$PGDATA" || exit 9\n{GOOD}\ntouch "$PGDATA/by_good"')
    await copied(stage, bad, good, BASEBACKUP)
    assert (stage.layout.data / "by_good").exists() and not (stage.layout.data / "half").exists()
    assert stage.said == ["bad: bad ended with status 3: no output; trying good"]


async def test_when_all_fail_each_one_has_said_why_and_the_old_data_are_there(stage: Stage) -> None:
    before = old_data(stage)
    with pytest.raises(PostgresError, match="one: one ended with status 1: no output; two: two ended with status 2"):
        await copied(stage, method(stage, "one", "exit 1"), method(stage, "two", "exit 2"))
    assert incarnation.read(stage.layout.data) == before and not stage.layout.new.exists()


async def test_a_copy_that_is_not_the_leaders_makes_room_for_the_next(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def line(conninfo: str) -> RemoteLine:
        return RemoteLine("43", 3, LINE.history, 0)

    monkeypatch.setattr(remote, "line", line)
    await copied(stage, method(stage, "strange", GOOD), BASEBACKUP)
    assert (stage.layout.data / "by_basebackup").exists() and "another cluster (S6)" in stage.said[0]


@pytest.mark.parametrize("keep_data", [False, True])
async def test_replaced_wal_is_kept_whatever_the_program_does_with_the_data(stage: Stage, keep_data: bool) -> None:
    before = old_data(stage)
    seen = 'test -e "$PGDATA/old" && echo kept; rm -rf "$PGDATA"; '
    await copied(stage, method(stage, "delta", seen + GOOD, keep_data))
    assert (stage.said[:1] == ["delta says: kept"]) is keep_data
    assert len(list(stage.layout.divergent.glob(f"*/{SEGMENT}"))) == 1
    assert incarnation.read(stage.layout.data) not in (None, before)
    assert not (stage.layout.data / "old").exists() and not stage.layout.old.exists()


async def test_data_go_only_when_they_may(stage: Stage) -> None:
    old_data(stage)
    with pytest.raises(WouldDestroy):
        await copied(stage, method(stage, "copy", GOOD), replacing=False)
    assert (stage.layout.data / "old").exists()
