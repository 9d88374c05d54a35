"""What a decision may order. Values only: executors in runtime/ carry them out.

Every action is level-triggered: ordering it again while it is under way or done changes nothing.
"""

from __future__ import annotations

import msgspec

from pgherd.model.knowledge import WriteKind
from pgherd.model.lease import Lease
from pgherd.model.request import Request
from pgherd.model.synchronous import Rule


class Reason(msgspec.Struct, frozen=True):
    """Why: a stable code (docs/reasons.md) and a sentence for a person."""

    code: str
    text: str


class Loser(msgspec.Struct, frozen=True):
    member: str
    why: str


class Action(msgspec.Struct, frozen=True, tag=True):
    pass


class WriteLease(Action, frozen=True):
    """Compare-and-swap the lock object to `record` (the executor fills nonce and times).

    Before HANDOVER and RELEASE the executor sets the fence's deadline to 0.
    """

    kind: WriteKind
    record: Lease
    losers: tuple[Loser, ...] = ()
    """TAKE only: the members that did not win and why, for the receipt."""
    at_risk: int = 0
    """TAKE only: bytes of WAL that the last record names and this member lacks."""


class RestoreLease(Action, frozen=True):
    """Put this record where the lock object is missing or broken. It is nobody's lease who did not hold it before."""

    record: Lease


class SetInitialize(Action, frozen=True):
    """Compare-and-swap annotation `initialize` from `expected` to `value`."""

    expected: str | None
    value: str | None


class PollPeers(Action, frozen=True):
    """Ask every peer's GET /member now, in parallel, one second each. `urgent`: clients wait for the answer."""

    urgent: bool = False


class AskPromises(Action, frozen=True):
    """Begin a round of failsafe promises (model.promises): every candidate is asked at once over POST /promise."""


class Initialise(Action, frozen=True):
    """initdb into an empty volume (task INITIALISE), then a new incarnation."""


class Clone(Action, frozen=True):
    """pg_basebackup from `source` (task CLONE). `replace`: keep divergent WAL aside, then replace the data (S5)."""

    source: str
    replace: bool = False


class Rewind(Action, frozen=True):
    """Keep divergent WAL aside, then pg_rewind against `source` (task REWIND)."""

    source: str


class Start(Action, frozen=True):
    """Start PostgreSQL (task START): `writable` only under an armed fence, else as a standby of `source`, if any."""

    writable: bool
    source: str | None = None


class Follow(Action, frozen=True):
    """Point a running standby at `source` (reload, no restart), or at nobody."""

    source: str | None


class Promote(Action, frozen=True):
    """Promote onto exactly this timeline (task PROMOTE), then prove that it is writable."""

    timeline: int


class Stop(Action, frozen=True):
    """Fast shutdown bounded by `timeout` seconds, then the killing pass (task STOP).

    `checkpoint`: one first, while clients still write, so that the shutdown's own is short.
    """

    timeout: float
    checkpoint: bool = False


class Restart(Action, frozen=True):
    """Stop and start again as what it is (task RESTART), for a request."""

    timeout: float
    writable: bool
    source: str | None = None
    request: str = ""


class Reload(Action, frozen=True):
    """Write the configuration and reload (task RELOAD), for a request."""

    request: str


class Reinitialise(Action, frozen=True):
    """Stop, then replace the data by a copy of `source`, divergent WAL aside first (S5); for a request."""

    source: str
    timeout: float
    request: str


class AnswerRequest(Action, frozen=True):
    """Compare-and-swap a request to this: what its executor says of it."""

    request: Request


class Kill(Action, frozen=True):
    """The killing pass: SIGKILL everything on the data directory until a pass finds none (task KILL)."""


class KeepPrimary(Action, frozen=True):
    """Upkeep of a writable primary: declared roles, history, label."""


class Require(Action, frozen=True):
    """`synchronous_standby_names` says exactly this, and that is proved on the running server (View.enforced).

    Stands until another one is ordered. Until it is proved nothing counts as enforced (S3).
    """

    rule: Rule


class CutOff(Action, frozen=True):
    """End the WAL receiver of a running standby so that no other can begin, before its position counts as a vote (S3).

    It stays cut off as long as the lease has this nonce.
    """

    nonce: str


class Prove(Action, frozen=True):
    """Prove PostgreSQL's health now: a write of the lease waits for it."""


class Exit(Action, frozen=True):
    """Nothing is left to do after SIGTERM: the agent may end."""


class Decision(msgspec.Struct, frozen=True):
    actions: tuple[Action, ...]
    reason: Reason
    wake_at: float | None = None
    """Boot time at which to decide again even if nothing happens (an expiry, a delay)."""
