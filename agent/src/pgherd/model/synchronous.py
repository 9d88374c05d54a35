"""Which standbys have every acknowledged commit (ha-protocol §6, S3): annotation `sync` of the lease, as a value.

It lives as long as the mode is on. The primary's own setting (`synchronous_standby_names`) is always at least as
strict as this set: a member leaves here, confirmed, before the setting lets go of it, and enters here only after the
setting was proved to be applied and it has everything. So each member of the set may be elected.
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


class Synchronous(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """Who has every acknowledged commit: `primary`, and each one of `members`. None in the lease: the mode is off."""

    mode: Literal["on"]
    primary: Standby
    """Whose data the acknowledged commits were written on first, also after it lost the lease."""
    members: tuple[Standby, ...] = ()

    def has(self, standby: Standby) -> bool:
        return standby == self.primary or standby in self.members


class Enforced(msgspec.Struct, frozen=True):
    """A setting that the running server was proved to obey: no commit is acknowledged without all of `standbys`."""

    standbys: tuple[Standby, ...]
    flushed: int
    """The server's flush position after the proof (bytes): whatever was acknowledged before lies before it."""

    def enforces(self, members: tuple[Standby, ...]) -> bool:
        return {standby.member for standby in members} <= {standby.member for standby in self.standbys}


class Sender(msgspec.Struct, frozen=True):
    """A WAL sender of a primary that streams to a member."""

    member: str
    flushed: int
    """What the member has flushed, by its last reply (bytes)."""
    sync_state: str = "async"
    """As pg_stat_replication has it: async, potential, sync, quorum."""
