"""History files: which lead somewhere, and where two lines part."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgherd.model.position import Ancestor, History, Position, fork
from pgherd.postgres import histories


def history(wal: Path, timeline: int, *ancestors: tuple[int, str]) -> None:
    text = "".join(f"{number}\t{end}\tno recovery target specified\n" for number, end in ancestors)
    (wal / f"{timeline:08X}.history").write_text(text)


def segment(wal: Path, timeline: int, number: int) -> None:
    (wal / f"{timeline:08X}00000000{number:08X}").touch()


def left(wal: Path) -> list[int]:
    return sorted(int(path.name[:8], 16) for path in wal.glob("*.history"))


def test_numbers_count_whether_used_or_skipped(tmp_path: Path) -> None:
    segment(tmp_path, 1, 3)
    history(tmp_path, 7)
    (tmp_path / "archive_status").mkdir()
    assert histories.timelines(tmp_path) == {1, 7}
    assert histories.timelines(tmp_path / "none") == frozenset()


def test_a_standby_with_wal_of_a_later_timeline_keeps_the_way_there(tmp_path: Path) -> None:
    segment(tmp_path, 1, 3)
    segment(tmp_path, 4, 3)
    history(tmp_path, 4, (1, "0/3000500"))
    history(tmp_path, 6, (1, "0/3000500"), (4, "0/3000600"))
    known = Position(1, 0x3000100)
    assert histories.newest_own(tmp_path, known) == 4
    histories.prepare_recovery(tmp_path, known)
    assert left(tmp_path) == [2, 3, 4]
    assert histories.read(tmp_path, 2) == ()
    assert histories.read(tmp_path, 4) == (Ancestor(1, 0x3000500),)


def test_a_branch_that_left_before_our_position_is_not_ours(tmp_path: Path) -> None:
    segment(tmp_path, 1, 3)
    segment(tmp_path, 2, 3)
    history(tmp_path, 2, (1, "0/3000100"))
    known = Position(1, 0x3000200)
    assert histories.newest_own(tmp_path, known) == 1
    histories.prepare_recovery(tmp_path, known)
    assert left(tmp_path) == []


def test_skipping_leaves_real_files_alone(tmp_path: Path) -> None:
    history(tmp_path, 3, (1, "0/3000100"))
    histories.skip(tmp_path, 2, 5)
    assert left(tmp_path) == [2, 3, 4]
    assert histories.read(tmp_path, 3)


A = Ancestor


@pytest.mark.parametrize(
    ("own", "own_history", "other", "other_history", "expected"),
    [
        (Position(1, 50), (), 1, (), None),
        (Position(1, 50), (), 5, (A(1, 60),), None),
        (Position(1, 60), (), 5, (A(1, 60),), None),
        (Position(1, 70), (), 5, (A(1, 60),), 60),
        (Position(5, 99), (A(1, 60),), 5, (A(1, 60),), None),
        (Position(2, 99), (A(1, 60),), 3, (A(1, 50),), 50),
        (Position(2, 99), (A(1, 60),), 3, (A(1, 60),), 60),
        (Position(2, 99), (A(1, 60),), 3, (A(1, 60), A(2, 80)), 80),
        (Position(3, 99), (A(1, 60), A(2, 80)), 2, (A(1, 60),), 80),
        (Position(2, 99), (A(1, 60),), 1, (), 60),
    ],
)
def test_where_two_lines_part(
    own: Position, own_history: History, other: int, other_history: History, expected: int | None
) -> None:
    assert fork(own, own_history, other, other_history) == expected
