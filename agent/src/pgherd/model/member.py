"""Another member: what it says over REST, and what the Kubernetes API says of its pod."""

from __future__ import annotations

import msgspec

from pgherd.model.certificate import CertificateState
from pgherd.model.lease import Lease
from pgherd.model.parameters import Change
from pgherd.model.position import History, Position
from pgherd.model.slots import SlotState


class MemberStatus(msgspec.Struct, frozen=True):
    """The body of GET /member: the member's own words, true when it sent them."""

    member: str
    uid: str
    state: str
    """stopped, crashed, starting, running, stopping; while a task runs: initialising, cloning, rewinding, promoting."""
    role: str
    """primary, standby_leader (holds the lease of a standby cluster), replica, or none."""
    system_identifier: str | None = None
    incarnation: str | None = None
    has_data: bool = False
    position: Position | None = None
    replayed: int = 0
    history: History = ()
    streaming_from: str | None = None
    receiver_timeline: int | None = None
    holds_until: float = 0.0
    """Seconds for which the lease that it holds is still valid by its own clock; 0 when it holds none."""
    failsafe: bool = False
    """It holds the lease by promises: the API did not confirm a renewal in time."""
    promised_until: float = 0.0
    """Seconds for which it has promised the holder of the lease that it sees not to take it."""
    epoch_seen: int = 0
    nonce_seen: str = ""
    epoch_tried: int = 0
    """The largest epoch among its own writes that have no answer yet."""
    lease_seen: Lease | None = None
    """The newest sound record that it saw, without times: what heals a lost lock object."""
    terminating: bool = False
    server_version: int = 0
    free: int | None = None
    """Bytes that its data volume still takes; None when unknown."""
    reason: str = ""
    """Sentence of its last decision."""
    code: str = ""
    version: str = ""
    """Of pgherd."""
    tags: dict[str, str] = {}
    pending_restart: dict[str, Change] = {}
    """Parameters that wait for a restart of this member."""
    limits: dict[str, int] = {}
    """What it runs with of the parameters that depend on each other (model/parameters.LIMITS)."""
    refused: str = ""
    """Why the configuration is not in force here; empty when it is."""
    slots: dict[str, SlotState] = {}
    """Replication slots that this member should have, and how each one is."""
    slots_waiting: tuple[str, ...] = ()
    """Declared logical slots for which this standby wants to restart."""
    certificates: dict[str, CertificateState] = {}
    """By kind: server, replication, rest."""
    cut_off: str = ""
    """Nonce of the lease for which its position is final: nothing can reach it any more from that holder (S3)."""


def stance(status: MemberStatus | None) -> object:
    """What an election goes by of a member's words, or of its silence: as long as it is equal, nothing is new."""
    if status is None:
        return None
    says = (status.holds_until > 0, status.promised_until > 0, status.terminating, status.cut_off)
    return (status.role, status.incarnation, status.position, says)


class Death(msgspec.Struct, frozen=True):
    """A container that the kubelet reported as terminated (proof 2 of ha-protocol §2).

    Made only from `state.terminated` or `lastState.terminated` of container `database` with startedAt and
    finishedAt set and a reason other than ContainerStatusUnknown or Unknown. Nothing else is proof.
    """

    uid: str
    container: str


class Pod(msgspec.Struct, frozen=True):
    """A member's pod as the API shows it."""

    member: str
    uid: str
    address: str | None = None
    node: str = ""
    terminating: bool = False
    deaths: tuple[Death, ...] = ()
    container: str = ""
    """containerID of the running `database` container."""


class Peer(msgspec.Struct, frozen=True):
    """What this member knows of another one. `status` is None when it did not answer the last poll."""

    pod: Pod
    status: MemberStatus | None = None
    asked: float = 0.0
    """Boot time at which the last request that has ended, with an answer or without, was sent."""
    ended: float = 0.0
    """Boot time at which it ended."""
    first_missing: float = 0.0
    """When the first of the unanswered requests since its last answer was sent; 0 when it answered."""
    settled: float = 0.0
    """Since when it says what it says, as far as an election goes by that (`stance`); silence included."""
