"""pg_controldata's text, and where a record ends."""

from __future__ import annotations

import pytest

from pgherd.model.position import Position, parse_lsn
from pgherd.model.slots import slot_name
from pgherd.postgres.control import parse
from pgherd.postgres.walend import after_record

TEXT = """pg_control version number:            1300
Database system identifier:           7711561303574745107
Database cluster state:               {state}
Latest checkpoint location:           0/17414F8
Latest checkpoint's REDO location:    0/17414F8
Latest checkpoint's TimeLineID:       1
Latest checkpoint's PrevTimeLineID:   1
Minimum recovery ending location:     {minimum}
Min recovery ending loc's timeline:   {timeline}
Bytes per WAL segment:                16777216
max_connections setting:              120
max_worker_processes setting:         8
max_wal_senders setting:              10
max_prepared_xacts setting:           0
max_locks_per_xact setting:           64
"""


def test_a_primary_that_was_shut_down() -> None:
    control = parse(TEXT.format(state="shut down", minimum="0/0", timeline=0))
    assert (control.system_identifier, control.clean, control.was_primary) == ("7711561303574745107", True, True)
    assert control.position == Position(1, parse_lsn("0/17414F8"))


def test_a_standby_that_crashed() -> None:
    control = parse(TEXT.format(state="in archive recovery", minimum="0/3000060", timeline=5))
    assert (control.clean, control.was_primary, control.timeline) == (False, False, 5)
    assert control.position == Position(5, 0x3000060)


def test_what_is_missing_is_an_error() -> None:
    with pytest.raises(KeyError):
        parse("pg_controldata: fatal: could not open file")


@pytest.mark.parametrize(
    ("start", "length", "end"),
    [
        (0x17414F8, 114, 0x1741570),
        (0x1001F88, 120, 0x1002000),  # ends with its page
        (0x1001FF8, 114, 0x1001FF8 + 8 + 24 + 112),  # over a page's end: its header, then the rest, aligned
        (0x1FFFFF8, 114, 0x1FFFFF8 + 8 + 40 + 112),  # over a segment's end: a long header
    ],
)
def test_the_end_of_a_record(start: int, length: int, end: int) -> None:
    assert after_record(start, length, 16 * 1024 * 1024) == end


def test_slots() -> None:
    assert slot_name("Demo-instance1-abcd-0") == "demo_instance1_abcd_0"
    assert len(slot_name("x" * 100)) == 63
