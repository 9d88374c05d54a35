"""Another member: what it says over REST, and what the Kubernetes API says of its pod."""

from __future__ import annotations

import msgspec

from pgherd.model.position import History, Position


class MemberStatus(msgspec.Struct, frozen=True):
    """The body of GET /member: the member's own words, true when it sent them."""

    member: str
    uid: str
    state: str
    """stopped, crashed, starting, running, stopping; while a task runs: initialising, cloning, rewinding, promoting."""
    role: str
    """primary, replica, or none."""
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
    epoch_seen: int = 0
    nonce_seen: str = ""
    terminating: bool = False
    server_version: int = 0
    reason: str = ""
    """Sentence of its last decision."""
    code: str = ""
    version: str = ""
    """Of pgherd."""
    tags: dict[str, str] = {}
    cut_off: str = ""
    """Nonce of the lease for which its position is final: nothing can reach it any more from that holder (S3)."""


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
