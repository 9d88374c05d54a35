"""Which standbys have every acknowledged commit (ha-protocol §6, S3): annotation `sync` of the lease, as a value.

It lives as long as a mode is on. The primary's own setting (`synchronous_standby_names`) is always at least as strict
as this: of `members` at least `votes` have whatever was acknowledged. Mode on is the case that all of them have it, so
that any one may be elected; in mode quorum as many must be heard that one of them has it.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Standby(msgspec.Struct, frozen=True, order=True):
    """A member with the identity of its data: one that came back empty is not the synchronous member it was."""

    member: str
    incarnation: str


NOBODY = Standby("pgherd_nobody", "")
"""Required where commits must wait although no standby is there: no member has such a name, so it never answers."""


class Rule(msgspec.Struct, frozen=True):
    """A value of the setting: a commit is acknowledged once `votes` of `standbys` have flushed it."""

    standbys: tuple[Standby, ...] = ()
    votes: int = 0

    def covers(self, members: tuple[Standby, ...], votes: int) -> bool:
        """Whoever acknowledges by this rule, at least so many of these members are among them."""
        outside = {each.member for each in self.standbys} - {each.member for each in members}
        return max(0, self.votes - len(outside)) >= votes


ALONE = Rule()
"""The primary acknowledges by itself."""
WAIT = Rule((NOBODY,), 1)
"""No commit is acknowledged."""


class Synchronous(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """None in the lease: the mode is off."""

    mode: Literal["on", "quorum"]
    primary: Standby
    """Whose data the acknowledged commits were written on first, also after it lost the lease."""
    members: tuple[Standby, ...] = ()
    votes: int = 0
    """Of `members` at least so many have any acknowledged commit."""

    def has(self, standby: Standby) -> bool:
        return standby == self.primary or standby in self.members

    @property
    def reports(self) -> int:
        """So many members have between them every acknowledged commit; all of them and one more: none is enough."""
        return len(self.members) - self.votes + 1


class Enforced(msgspec.Struct, frozen=True):
    """A setting that every process of the running server was proved to go by."""

    rule: Rule
    flushed: int
    """The server's flush position after the proof (bytes): whatever was acknowledged before lies before it."""


class Sender(msgspec.Struct, frozen=True):
    """A WAL sender of a primary that streams to a member."""

    member: str
    flushed: int
    """What the member has flushed, by its last reply (bytes)."""
    sync_state: str = "async"
    """As pg_stat_replication has it: async, potential, sync, quorum."""
