"""Data made by programs of the user: what may be put in place, and that nothing half-made ever is."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from pgherd.model.methods import Method
from pgherd.model.position import Ancestor, Position
from pgherd.model.server import Data
from pgherd.model.settings import PostgresSettings, Settings
from pgherd.model.standby import RemoteLine
from pgherd.postgres import control, replace
from pgherd.postgres.control import ControlData
from pgherd.postgres.errors import PostgresError, ToolFailed
from pgherd.postgres.layout import Layout
from pgherd.postgres.making import Making, by_program, check_line, vacated
from pgherd.postgres.observe import Observer
from pgherd.postgres.run import LARGEST, run

CONTROL = ControlData("42", "shut down", Position(2, 500), None, 16 << 20)
LINE = RemoteLine("42", 3, (Ancestor(1, 100), Ancestor(2, 600)), 0)
GOOD = """mkdir -p "$PGDATA/pg_wal" "$PGDATA/pg_replslot/old"
touch "$PGDATA/postmaster.pid"
echo 17 > "$PGDATA/PG_VERSION" """


class Stage:
    def __init__(self, folder: Path) -> None:
        settings = PostgresSettings(17, str(folder / "bin"), str(folder / "data"), str(folder / "state"))
        self.folder, self.layout, self.said = folder, Layout(settings, str(folder)), list[str]()
        self.layout.state.mkdir(parents=True, exist_ok=True)
        self.program("bin/initdb", "true")
        self.making = Making(self.layout, "demo", None, self.said.append)

    def program(self, name: str, text: str) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)

    async def make(self, text: str, **changes: Any) -> ControlData:
        method = Method("copy", f"{self.program('copy', text)} -v", **changes)
        return await by_program(self.making, method, "replica", "host=x")

    def old_data(self) -> None:
        self.layout.data.mkdir()
        (self.layout.data / "old").touch()

    def untouched(self) -> bool:
        return [path.name for path in self.layout.data.iterdir()] == ["old"] and not self.layout.making.exists()


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    async def read(layout: Layout, directory: Path) -> ControlData | None:
        return None if (directory / "broken").exists() else CONTROL

    monkeypatch.setattr(control, "read", read)
    return Stage(tmp_path / "volume")


async def test_a_program_is_told_what_patroni_tells_it(stage: Stage) -> None:
    stage.old_data()
    assert await stage.make(f'echo "$@"\n{GOOD}', arguments=(("rate", "5"),)) is CONTROL
    assert stage.said == [
        f"copy says: -v --scope=demo --role=replica --datadir={stage.layout.new} --connstring=host=x --rate=5"
    ]
    assert not (stage.layout.new / "postmaster.pid").exists() and not list((stage.layout.new / "pg_replslot").iterdir())
    assert stage.layout.new.stat().st_mode & 0o777 == 0o700 and stage.untouched()


async def test_one_without_params_finds_the_place_in_its_environment(stage: Stage) -> None:
    await stage.make(f'echo "$@"\n{GOOD}', no_params=True, arguments=(("rate", "5"),))
    assert stage.said == ["copy says: -v --rate=5"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("exit 3", "ended with status 3"),
        ("true", "left no data directory"),
        (f'{GOOD}\necho 16 > "$PGDATA/PG_VERSION"', "data of PostgreSQL 16: must be of 17"),
        (f'{GOOD}\ntouch "$PGDATA/broken"', "pg_controldata cannot read"),
        (f'{GOOD}\nrmdir "$PGDATA/pg_wal"; ln -s /tmp "$PGDATA/pg_wal"', "made links to /tmp: must be free places"),
        (f"{GOOD}\nexec sleep 600", "did not end within 1 s"),
    ],
)
async def test_what_cannot_be_used_is_an_error_and_the_old_data_stay(stage: Stage, text: str, why: str) -> None:
    stage.old_data()
    with pytest.raises(PostgresError, match=why):
        await stage.make(text, time_limit=1.0)
    assert stage.untouched()


async def test_a_program_that_is_not_there_is_an_error(stage: Stage) -> None:
    with pytest.raises(ToolFailed, match=r"cannot be started: No such file.*: /nowhere"):
        await by_program(stage.making, Method("copy", "/nowhere"), "replica", "host=x")


@pytest.mark.parametrize("old", [False, True])
async def test_what_it_puts_in_the_place_of_the_data_is_never_data(stage: Stage, old: bool) -> None:
    if old:
        stage.old_data()
    with pytest.raises(PostgresError, match="must write to --datadir, which PGDATA names, too"):
        await stage.make(f"{GOOD}\nmkdir -p {stage.layout.data}; touch {stage.layout.data}/PG_VERSION")
    assert stage.untouched() if old else not replace.filled(stage.layout.data)
    await replace.tidy(stage.layout)
    assert not stage.layout.stray.exists()


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("astray", [False, True])
async def test_a_crash_while_it_runs_leaves_the_old_data_or_none(stage: Stage, old: bool, astray: bool) -> None:
    """As a killed container leaves it: nothing of this process runs any more, what it found is all there is."""
    if old:
        stage.old_data()
    where = stage.layout.data if astray else stage.layout.new
    going = asyncio.create_task(stage.make(f"mkdir -p {where}; touch {where}/PG_VERSION; exec sleep 600"))
    async with asyncio.timeout(30):
        while not (where / "PG_VERSION").exists():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    shutil.copytree(stage.folder, stage.folder.with_name("crashed"))
    crashed = Stage(stage.folder.with_name("crashed"))
    going.cancel()
    await asyncio.gather(going, return_exceptions=True)
    await replace.tidy(crashed.layout)
    for each in (stage, crashed):
        assert each.untouched() if old else not replace.filled(each.layout.data)
    assert not crashed.layout.new.exists()


@pytest.mark.parametrize(
    ("position", "why"),
    [
        (Position(3, 10**9), ""), (Position(2, 600), ""), (Position(1, 100), ""),
        (Position(2, 601), "not on the leader's line"), (Position(1, 101), "not on the leader's line"),
        (Position(4, 5), "not on the leader's line"),
    ],
)  # fmt: skip
def test_a_copy_must_be_on_the_leaders_line(position: Position, why: str) -> None:
    copy = ControlData("42", "shut down", position, None, 16 << 20)
    refused = pytest.raises(PostgresError, match=why) if why else contextlib.nullcontext()
    with refused:
        check_line("copy", copy, LINE)


def test_a_copy_of_another_cluster_is_refused() -> None:
    with pytest.raises(PostgresError, match=r"another cluster \(S6\): system identifier 43"):
        check_line("copy", ControlData("43", "shut down", Position(2, 5), None, 16 << 20), LINE)


async def test_what_is_in_the_place_of_the_data_meanwhile_is_not_seen_as_data(stage: Stage) -> None:
    """Its system identifier would be recorded as the new cluster's (S7)."""
    observer = Observer(stage.layout, Settings("demo", stage.layout.settings, ("a",)), None)  # type: ignore[arg-type]
    stage.old_data()
    assert observer.data() is Data.PRESENT
    with vacated(stage.layout):
        stage.old_data()
        assert observer.data() is Data.EMPTY
        shutil.rmtree(stage.layout.data)
    assert observer.data() is Data.PRESENT


async def test_of_a_program_that_talks_for_hours_the_last_words_are_kept(stage: Stage) -> None:
    lines = "yes 0123456789abcde | head -c 8000000; echo; echo the end"
    output = await run(["/bin/sh", "-c", lines], {"PATH": "/usr/bin:/bin"}, 60)
    assert len(output) == LARGEST and output.endswith("the end\n")


@pytest.mark.parametrize("crashed", [False, True])
async def test_what_another_servers_links_lead_to_is_not_deleted_with_the_copy(stage: Stage, crashed: bool) -> None:
    """`cp -a` of a data directory copies the links of its tablespaces."""
    theirs = stage.folder / "production" / "space"
    (theirs / "PG_17_1").mkdir(parents=True)
    with pytest.raises(PostgresError, match=f"made links to {theirs}: must be free places of this member's own"):
        await stage.make(f'{GOOD}\nmkdir "$PGDATA/pg_tblspc"; ln -s {theirs} "$PGDATA/pg_tblspc/1"')
    if crashed:
        (stage.layout.new / "pg_tblspc" / "1").symlink_to(theirs)
        stage.layout.making.touch()
        await replace.tidy(stage.layout)
    else:
        await replace.remove(stage.layout, stage.layout.new)
    assert (theirs / "PG_17_1").exists() and not stage.layout.new.exists()
