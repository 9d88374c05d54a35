"""What people ask of the agents: one annotation `request-<id>` of ConfigMap `<cluster>-ha-failover` each.

The id is the caller's, so that the same request sent twice is one request. Who executes it answers by
compare-and-swap: a switchover the holder, everything else the member that it names. Times are ISO 8601 of the
wall clock, for people and for schedules; no safety rule looks at them.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

import msgspec


class Verb(enum.Enum):
    SWITCHOVER = "switchover"
    """The holder hands the lease to `member`, or to the best candidate."""
    FAILOVER = "failover"
    """As a switchover while there is a holder; else `member` takes the lease, with what the parameters allow."""
    RESTART = "restart"
    RELOAD = "reload"
    REINITIALIZE = "reinitialize"
    """`member` replaces its data by a copy of the leader's; its divergent WAL is kept aside (S5)."""


class Stage(enum.Enum):
    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    """It was tried."""
    REFUSED = "refused"
    """Nothing was done."""


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    accept_loss: bool = False
    """Failover without a leader: the member may lack WAL that the lease names."""
    leader_is_dead: bool = False
    """Failover without a leader: a person's word that the holder's PostgreSQL is dead."""
    only_pending: bool = False
    """Restart: only if a parameter of the member waits for one; else it is done at once, with nothing restarted."""


class Request(msgspec.Struct, frozen=True, omit_defaults=True):
    id: str
    verb: Verb
    member: str | None = None
    leader: str | None = None
    """Switchover: refused when another member leads."""
    parameters: Parameters = Parameters()
    by: str = ""
    at: str = ""
    not_before: str = ""
    """A schedule: not executed before. Empty: now."""
    expires: str = ""
    """Refused when nobody has begun by then. Empty: never."""
    state: Stage = Stage.PENDING
    reason: str = ""
    epoch: int = 0
    """Of the lease when it began to run: another epoch says that the leader has changed since."""
    ended: str = ""
    result: Mapping[str, str] = {}

    @property
    def finished(self) -> bool:
        return self.state in (Stage.DONE, Stage.FAILED, Stage.REFUSED)


class Asked(msgspec.Struct, frozen=True):
    """A request that is due and not finished, as one member sees it."""

    request: Request
    since: float
    """Boot time (seconds) at which this agent first saw it due."""
    begun: float | None = None
    """Boot time (seconds) at which the API confirmed this very agent's answer that it runs; None without one: who finds
    it running cannot know how far it came."""
    expired: bool = False
