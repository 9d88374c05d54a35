"""Data directories. A timeline's number may repeat by mistake, a branch's identity never: the checks go by identity."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace

from pgherd.model.position import Ancestor, History, Position
from pgherd.model.synchronous import ALONE, Rule


@dataclass(frozen=True)
class Branch:
    """One timeline as it really is: made by one promotion (or initdb), at one place."""

    identity: int
    timeline: int
    begin: int


@dataclass(frozen=True)
class Data:
    """What a volume holds. `line` is the branches from initdb to the present one; bytes up to `lsn` are there."""

    system: str
    line: tuple[Branch, ...]
    lsn: int
    incarnation: str
    was_primary: bool
    clean: bool = False
    half_rewound: bool = False

    @property
    def branch(self) -> Branch:
        return self.line[-1]

    @property
    def position(self) -> Position:
        return Position(self.branch.timeline, self.lsn)

    @property
    def history(self) -> History:
        return tuple(Ancestor(old.timeline, new.begin) for old, new in itertools.pairwise(self.line))

    def holds(self, other: Data) -> bool:
        """Whether everything of `other` lies on this line: it may follow without losing a byte."""
        if self.system != other.system or len(other.line) > len(self.line):
            return False
        if self.line[: len(other.line)] != other.line:
            return False
        end = self.line[len(other.line)].begin if len(self.line) > len(other.line) else self.lsn
        return other.lsn <= end

    def may_stream_from(self, source: Data) -> bool:
        """Whether a standby with this data can go on with that source's WAL: PostgreSQL compares lines, too."""
        if self.system != source.system or self.line != source.line[: len(self.line)]:
            return False
        return len(self.line) == len(source.line) or self.lsn <= source.line[len(self.line)].begin

    def promoted(self, timeline: int, identity: int) -> Data:
        return replace(self, line=(*self.line, Branch(identity, timeline, self.lsn)), was_primary=True, clean=False)

    def copied(self, incarnation: str) -> Data:
        """A clone, or what a rewind makes: a standby's data."""
        return replace(self, incarnation=incarnation, was_primary=False, clean=False, half_rewound=False)


@dataclass
class Volume:
    """Outlives containers and pods. `kept_aside` is WAL that was diverging when it was replaced (S5)."""

    data: Data | None = None
    kept_aside: list[Data] = field(default_factory=list)
    locked_by: object | None = None
    rule: Rule = ALONE
    """synchronous_standby_names in its postgresql.conf."""
