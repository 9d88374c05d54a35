"""pg_wal moves to its volume and back, whatever call of the way is the last one before a crash."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pgherd.model.settings import PostgresSettings, Volumes
from pgherd.postgres import outside, replace, walhome
from pgherd.postgres.errors import StartFailed
from pgherd.postgres.layout import Layout

FILES = {
    "000000010000000000000001": "first",
    "000000010000000000000002": "second",
    "00000002.history": "1\t0/2000000\tno reason",
    "archive_status/000000010000000000000001.ready": "",
}


CALLS = 15
"""That a move makes of the functions below."""


class Crashed(BaseException):
    """Not an Exception: nothing catches it, as nothing catches SIGKILL."""


def layout(root: Path, on_volume: bool) -> Layout:
    return placed(root, Volumes(str(root / "pgwal/pg17_wal") if on_volume else None))


def placed(root: Path, volumes: Volumes) -> Layout:
    settings = PostgresSettings(
        17, "/bin", str(root / "pgdata/pg17"), str(root / "pgdata/pgherd"), socket_directory=str(root / "tmp/socket")
    )
    return Layout(settings, str(root / "tmp"), volumes)


def stopped(root: Path) -> None:
    """A data directory with its WAL inside, and an empty WAL volume."""
    wal = root / "pgdata/pg17/pg_wal"
    for path in (wal / "archive_status", root / "pgdata/pgherd", root / "pgwal"):
        path.mkdir(parents=True)
    (root / "pgdata/pg17/PG_VERSION").write_text("17\n")
    for name, text in FILES.items():
        (wal / name).write_text(text)


def found(made: Layout) -> dict[str, str]:
    wal = made.wal.resolve()
    return {str(path.relative_to(wal)): path.read_text() for path in wal.rglob("*") if path.is_file()}


def nothing_else(root: Path, made: Layout) -> bool:
    kept = [made.data, made.state, *outside.linked(made.data)]
    return {path for folder in ("pgdata", "pgwal") for path in (root / folder).iterdir()} == set(kept) and not list(
        made.state.glob("pg_wal*")
    )


def crash_at(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The call with this number, among those that change files, is not made, and none after it."""
    calls = itertools.count()

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if next(calls) >= number:
                raise Crashed
            return real(*arguments, **named)

        return call

    for holder, name in (
        (Path, "rename"), (Path, "symlink_to"), (Path, "unlink"), (Path, "mkdir"), (os, "utime"),
        (shutil, "copyfile"), (shutil, "rmtree"),
    ):  # fmt: skip
        monkeypatch.setattr(holder, name, dying(getattr(holder, name)))


@pytest.mark.parametrize("on_volume", [True, False])
@pytest.mark.parametrize("number", range(CALLS))
def test_a_crash_on_the_way_loses_nothing(
    number: int, on_volume: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped(tmp_path)
    if not on_volume:
        asyncio.run(walhome.settle(layout(tmp_path, True)))
    made = layout(tmp_path, on_volume)
    with monkeypatch.context() as patch:
        crash_at(number, patch)
        with pytest.raises(Crashed):
            asyncio.run(walhome.settle(made))
    asyncio.run(replace.tidy(made))
    assert found(made) == FILES
    asyncio.run(walhome.settle(made))
    assert found(made) == FILES and nothing_else(tmp_path, made)
    assert made.wal.is_symlink() == on_volume


def test_what_was_recycled_since_the_first_attempt_is_not_copied_back(tmp_path: Path) -> None:
    stopped(tmp_path)
    made = layout(tmp_path, True)
    stale = tmp_path / "pgwal/pg17_wal.moving"
    (stale / "archive_status").mkdir(parents=True)
    (stale / "00000009.history").write_text("another branch")
    (stale / "000000010000000000000001").write_text("fir")
    asyncio.run(walhome.settle(made))
    assert found(made) == FILES


def test_a_volume_that_is_not_there_is_named(tmp_path: Path) -> None:
    stopped(tmp_path)
    made = layout(tmp_path, True)
    asyncio.run(walhome.settle(made))
    (tmp_path / "pgwal/pg17_wal").rename(tmp_path / "elsewhere")
    with pytest.raises(StartFailed, match="pg17_wal, which is not there"):
        asyncio.run(walhome.settle(made))
    assert made.wal.is_symlink()


def test_settings_that_are_newer_than_the_pod_wait_for_the_next_one(tmp_path: Path) -> None:
    """A container that starts again in an old pod, which does not mount what the settings name by now."""
    stopped(tmp_path)
    made = placed(tmp_path, Volumes(str(tmp_path / "later/pg17_wal"), (str(tmp_path / "hot/data"),)))
    asyncio.run(replace.tidy(made))
    asyncio.run(walhome.settle(made))
    assert not made.wal.is_symlink() and outside.waldir(made) == []
    assert found(made) == FILES and {path.name for path in tmp_path.iterdir()} == {"pgdata", "pgwal", "tmp"}


def test_wal_that_others_put_beside_the_data_directory_stays(tmp_path: Path) -> None:
    stopped(tmp_path)
    made = layout(tmp_path, False)
    beside = tmp_path / "pgdata/pg17_wal"
    made.wal.rename(beside)
    made.wal.symlink_to(beside)
    asyncio.run(walhome.settle(made))
    assert made.wal.resolve() == beside


def test_only_what_postgresql_made_is_removed_of_a_tablespace(tmp_path: Path) -> None:
    stopped(tmp_path)
    made = layout(tmp_path, False)
    place = tmp_path / "space"
    (place / "PG_17_202406281").mkdir(parents=True)
    (place / "letter").write_text("not ours")
    (made.new / "pg_tblspc").mkdir(parents=True)
    (made.new / "pg_tblspc/16384").symlink_to(place)
    outside.remove(made, made.new)
    assert not made.new.exists() and [path.name for path in place.iterdir()] == ["letter"]


def test_wal_that_no_link_names_is_left_alone(tmp_path: Path) -> None:
    """It may be all that there is of a lost data directory (S5)."""
    stopped(tmp_path)
    made = layout(tmp_path, True)
    orphan = tmp_path / "pgwal/pg17_wal"
    orphan.mkdir(parents=True)
    (orphan / "000000010000000000000001").write_text("all there is")
    assert outside.waldir(made) == ["--waldir", f"{orphan}.1"]
    asyncio.run(replace.tidy(made))
    asyncio.run(walhome.settle(made))
    assert orphan.is_dir() and made.wal.resolve().name == "pg17_wal.1"


def test_a_tablespace_that_a_copy_did_not_finish_is_swept(tmp_path: Path) -> None:
    stopped(tmp_path)
    fast = tmp_path / "tablespaces/fast"
    fast.mkdir(parents=True)
    made = placed(tmp_path, Volumes(tablespaces=(str(fast / "data"),)))
    for name in ("data", "data.1", "data.2", "database"):
        (fast / name / "PG_17_202406281").mkdir(parents=True)
    (made.data / "pg_tblspc").mkdir()
    (made.data / "pg_tblspc/16384").symlink_to(fast / "data.1")
    asyncio.run(replace.tidy(made))
    left = {path.name: [each.name for each in path.iterdir()] for path in fast.iterdir()}
    version = ["PG_17_202406281"]
    assert left == {"data": [], "data.1": version, "database": version}
    assert outside.mappings(made, [f"{fast}/data.7", "/srv/x=1"]) == [
        f"--tablespace-mapping={fast}/data.7={fast}/data",
        "--tablespace-mapping=/srv/x\\=1=/srv/x\\=1",
    ]


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second file system")
def test_replaced_wal_is_kept_on_the_volume_that_it_is_on(tmp_path: Path) -> None:
    """Moving needs no space there, and a full data volume is no reason to lose it (S5)."""
    stopped(tmp_path)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as volume:
        home = Path(volume) / "pg17_wal"
        made = placed(tmp_path, Volumes(str(home)))
        asyncio.run(walhome.settle(made))
        assert home.stat().st_dev != made.state.stat().st_dev
        made.data.rename(made.old)
        made.data.mkdir()
        (made.data / "PG_VERSION").write_text("17")
        asyncio.run(replace.tidy(made))
        (kept,) = (Path(volume) / "divergent").iterdir()
        assert {path.name for path in kept.iterdir()} == {*list(FILES)[:3], "since"}
        assert not home.exists() and not made.old.exists() and not any(made.divergent.iterdir())
