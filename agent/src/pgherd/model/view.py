"""Everything that a decision may look at, as one value."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence

import msgspec

from pgherd.model.knowledge import Knowledge
from pgherd.model.member import Peer, Pod
from pgherd.model.request import Asked
from pgherd.model.server import Health, Process, Server
from pgherd.model.settings import Configuration
from pgherd.model.slots import SlotsSeen
from pgherd.model.standby import RemoteSeen
from pgherd.model.synchronous import Enforced


class TaskKind(enum.Enum):
    """Long actions; at most one runs at a time, and the decision sees it as state."""

    INITIALISE = "initialising"
    CLONE = "cloning"
    REWIND = "rewinding"
    START = "starting"
    STOP = "stopping"
    PROMOTE = "promoting"
    KILL = "killing"
    RESTART = "restarting"
    RELOAD = "reloading"
    REINITIALISE = "reinitialising"


class Task(msgspec.Struct, frozen=True):
    kind: TaskKind
    started: float
    """Boot time (seconds)."""
    target: str | None = None
    """Member cloned from, rewound to, or followed."""


class Failure(msgspec.Struct, frozen=True):
    """A task that ended badly: a rung of the rejoin ladder never repeats the same way."""

    kind: TaskKind
    target: str | None
    timeline: int
    """Timeline that the holder was on."""
    at: float
    error: str


LONGEST_PAUSE = 60.0
"""Seconds between two tries of what fails."""


def again(failed: Sequence[Failure]) -> float:
    """Boot time at which to try again what failed so often: the pause doubles."""
    return failed[-1].at + min(LONGEST_PAUSE, 2.0 ** len(failed))


def forgiven(failures: tuple[Failure, ...], before: Server | None, now: Server) -> tuple[Failure, ...]:
    """What is left of the failures after a look at PostgreSQL.

    All are forgotten once it is what it should be; failed starts once it runs, or once its data are other ones (a
    clone that was made because the old data did not start is to be started, not cloned again).
    """
    if now.promoting:
        return failures
    if now.streaming or now.primary:
        return ()
    replaced = before is not None and now.incarnation not in (None, before.incarnation)
    if now.process is Process.RUNNING or replaced:
        return tuple(failure for failure in failures if failure.kind is not TaskKind.START)
    return failures


class View(msgspec.Struct, frozen=True):
    """One member's view at one instant of its boot-time clock."""

    member: str
    uid: str
    container: str
    """Own containerID when it is certain, else "" (proof 2 is void for our lease then)."""
    address: str
    configuration: Configuration
    knowledge: Knowledge
    server: Server
    health: Health | None = None
    configuration_read: bool = True
    """The configuration was its object's when this agent read it. Else that is missing or refused since the agent
    started, and in force is what an earlier one kept on the volume, or the defaults."""
    initialize: str | None = None
    """Annotation `initialize`: system identifier, "bootstrapping:<epoch>", or None."""
    members: tuple[str, ...] = ()
    """Declared members, own included."""
    peers: tuple[Peer, ...] = ()
    pods: tuple[Pod, ...] = ()
    """Every pod of the cluster, own included (and strangers under a member's name)."""
    task: Task | None = None
    failures: tuple[Failure, ...] = ()
    writing: bool = False
    """A write on the lock object is under way (sent, no outcome yet)."""
    requests: tuple[Asked, ...] = ()
    """What people asked for, due and not finished, oldest first."""
    terminating: bool = False
    """SIGTERM was received."""
    armed: bool = False
    """The fence's deadline is in the future."""
    predecessor_held: bool = False
    """Proof 3: the lease of this pod UID was made by an earlier container, and this one holds the volume's lock."""
    stopped_since: float | None = None
    """Boot time at which the own server, which had run, was first seen dead."""
    restless_since: float | None = None
    """Boot time since which the postmaster lives and takes no connections (starting, recovering, stopping)."""
    stalled_since: float | None = None
    """Boot time since which the own standby neither streams nor gains WAL."""
    slots: SlotsSeen = SlotsSeen()
    """Own replication slots, as the last pass left them."""
    slots_present: Mapping[str, float] = {}
    """Members' slots -> boot time at which the member was last there (decide/slots.remembered)."""
    unpromised: str = ""
    """Holder: why the last round of promises since the lease was renewed does not count."""
    tags: Mapping[str, Mapping[str, str]] = {}
    """Declared tags by member, own included."""
    enforced: Enforced | None = None
    """What `synchronous_standby_names` was proved to do; None while it is being changed or was not proved yet (S3)."""
    cut_off: str = ""
    """Nonce of the lease for which this standby has ended its WAL receiver for good."""
    barred_nonce: str = ""
    """Nonce of the lease under which it must not begin another one, also after a restart of its agent."""
    unsent_since: Mapping[str, float] = {}
    """Declared member -> boot time since which this primary has no WAL sender that streams to it."""
    told_to_stop: float = 0.0
    """Boot time of SIGTERM; 0 without."""
    remote: RemoteSeen | None = None
    """Holder of a standby cluster's lease: what the remote primary said last."""
    death_seen: float | None = None
    """Boot time at which the API first showed the death of the lease's container (proof 2)."""
