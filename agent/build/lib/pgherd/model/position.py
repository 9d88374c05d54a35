"""WAL positions and timeline histories as PostgreSQL defines them.

An LSN is a byte position in the WAL, written by PostgreSQL as two hexadecimal
halves ("0/3000060") and here kept as an int. A history is what a
`0000000N.history` file says: which timeline ended where
(https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-TIMELINES).
"""

from __future__ import annotations

import msgspec


def parse_lsn(text: str) -> int:
    """Bytes of an LSN such as "16/B374D848". Raises ValueError naming the text."""
    high, slash, low = text.strip().partition("/")
    try:
        if not slash:
            raise ValueError(text)
        return (int(high, 16) << 32) + int(low, 16)
    except ValueError:
        raise ValueError(f"not an LSN: {text!r} (expected two hexadecimal numbers such as 16/B374D848)") from None


def format_lsn(lsn: int) -> str:
    """The LSN as PostgreSQL writes it."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


class Position(msgspec.Struct, frozen=True, order=True):
    """How far a server has WAL: timeline first, so that positions order as elections need."""

    timeline: int
    lsn: int

    def __str__(self) -> str:
        return f"{self.timeline}@{format_lsn(self.lsn)}"


class Ancestor(msgspec.Struct, frozen=True):
    """One line of a history file: `timeline` was left at `end` (bytes, exclusive)."""

    timeline: int
    end: int


History = tuple[Ancestor, ...]
"""The ancestors of a timeline, oldest first; empty for timeline 1."""


def parse_history(text: str) -> History:
    """Ancestors in a history file's text. An empty file has none (a skipped number, never a branch)."""
    lines = (line.split("#", 1)[0].split() for line in text.splitlines())
    return tuple(Ancestor(int(words[0]), parse_lsn(words[1])) for words in lines if words)


def parted(own: Position, own_history: History, other: Position, other_history: History) -> bool:
    """Whether two servers have WAL that the other cannot come to by going on: neither line is the beginning of the
    other, compared entry by entry. Who is merely behind, or ahead, has not parted."""
    ours = (*own_history, Ancestor(own.timeline, own.lsn))
    theirs = (*other_history, Ancestor(other.timeline, other.lsn))
    for index, (mine, its) in enumerate(zip(ours, theirs, strict=False)):
        if mine.timeline != its.timeline:
            return True
        last, last_there = index == len(ours) - 1, index == len(theirs) - 1
        if last or last_there:
            return (last and not last_there and mine.end > its.end) or (last_there and not last and its.end > mine.end)
        if mine.end != its.end:
            return True
    return False


def fork(own: Position, own_history: History, other: int, other_history: History) -> int | None:
    """Where the own line left the other one (bytes); None when all that is ours lies on it.

    Histories are compared entry by entry: the same number on two branches is not the same timeline.
    """
    ours = (*own_history, Ancestor(own.timeline, own.lsn))
    theirs = (*other_history, Ancestor(other, 2**64))
    common = 0
    for index, (mine, its) in enumerate(zip(ours, theirs, strict=False)):
        if mine.timeline != its.timeline:
            return common
        last = index == len(ours) - 1
        if mine.end != its.end and not (last and mine.end <= its.end):
            return min(mine.end, its.end)
        common = mine.end
    return None if len(ours) <= len(theirs) else common


def contains(history: History, timeline: int, position: Position) -> bool:
    """Whether a server on `timeline` with these ancestors has `position` in its past or present line.

    Entries are compared one by one (timeline and end), never by number alone: two branches may
    share a number's neighbourhood and still differ (invariants S2, S5).
    """
    if position.timeline == timeline:
        return True
    return any(entry.timeline == position.timeline and position.lsn <= entry.end for entry in history)
