"""The lease's arithmetic under random orders of sends, losses, reads, restarts and edits.

What an API server and a network do is drawn by chance from a seed; everything that decides is
pgherd.model.knowledge. One sentence is checked: when a write that takes the lease has its effect, no other member's
fence still allows a PostgreSQL (S1, S4), in a pause neither. Without agents and PostgreSQL around it, this tries
orders by the hundred thousand that the simulation tries by the hundred.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import pytest

from pgherd.model import knowledge as k
from pgherd.model.knowledge import Attempt, Knowledge, WriteKind
from pgherd.model.lease import Holder, Lease

TTLS = (3.0, 10.0, 30.0)
GIVES_UP = (WriteKind.HANDOVER, WriteKind.RELEASE)
EPISODES, STEPS = 250, 80


@dataclass
class Member:
    name: str
    rate: float
    """Within 1 % of true time."""
    offset: float
    known: Knowledge = field(default_factory=Knowledge)
    fence: float = 0.0
    """Its deadline: an agent that hangs or dies leaves it where it is."""
    given_up: float = 0.0

    def clock(self, now: float) -> float:
        return self.offset + self.rate * now

    def learn(self, known: Knowledge) -> None:
        self.known = known
        self.fence = k.armed_until(known, self.given_up)


class Episode:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now, self.version, self.nonces, self.takes = 1.0, 1, 0, 0
        self.record = Lease(leader=None, epoch=0, ttl=10.0, released=0)
        self.edited = "none"
        self.members = [
            Member(f"m{number}", self.random.uniform(0.99, 1.01), self.random.uniform(0, 1e6)) for number in range(3)
        ]
        self.sent: list[tuple[Member, Attempt, Lease]] = []

    def run(self) -> int:
        """How often the lease was taken."""
        rules: tuple[tuple[int, Callable[[], None]], ...] = (
            (4, self.time_passes), (3, self.wait_for_the_end), (6, self.read), (6, self.take), (5, self.write),
            (9, self.arrive), (1, self.lose), (1, self.start_anew), (1, self.edit_ttl),
        )  # fmt: skip
        for rule in self.random.choices([rule for _, rule in rules], [weight for weight, _ in rules], k=STEPS):
            rule()
        return self.takes

    # What happens outside the members.

    def time_passes(self) -> None:
        self.now += self.random.choice([0.01, 0.3, 1.0, 2.5, 9.0])

    def wait_for_the_end(self) -> None:
        """A member that has nothing to do but wait acts at that very instant."""
        member = self.random.choice(self.members)
        if member.known.record is not None and not k.holds(member.known, member.clock(self.now)):
            left = k.takeable_at(member.known) - member.clock(self.now)
            if left < math.inf:
                self.now += max(0.0, left / member.rate) + 1e-6

    def arrive(self) -> None:
        """A write has its effect, or is refused; its sender hears of it, or does not. Some watches are quick."""
        if not self.sent:
            return
        member, attempt, new = self.sent.pop(self.random.randrange(len(self.sent)))
        answered = self.random.random() < 0.6
        if attempt.version == str(self.version):
            if attempt.kind is WriteKind.TAKE:
                self.nobody_else_is_armed(member)
                self.takes += 1
            self.record, self.version = new, self.version + 1
            for other in self.members:
                if answered if other is member else self.random.random() < 0.5:
                    self.read_by(other)
        elif answered:
            member.learn(k.refused(member.known, attempt.nonce))

    def lose(self) -> None:
        if self.sent:
            self.sent.pop()

    def edit_ttl(self) -> None:
        """A person's. Observers had read the record as it was; its holder may be cut off and read neither."""
        for member in self.members:
            if member.name != self.record.leader:
                self.read_by(member)
        if self.record.leader is not None:
            self.record = msgspec.structs.replace(self.record, ttl=self.random.choice(TTLS))
            self.version += 1
            self.edited = self.record.nonce

    # What a member does.

    def read(self) -> None:
        self.read_by(self.random.choice(self.members))

    def read_by(self, member: Member) -> None:
        member.learn(k.observed(member.known, self.record, str(self.version), member.clock(self.now)))

    def idle(self) -> list[Member]:
        """Agents send one write at a time, and none before the first read."""
        busy = [sender for sender, _, _ in self.sent]
        return [member for member in self.members if member.known.record is not None and member not in busy]

    def take(self) -> None:
        free = [m for m in self.idle() if not k.holds(m.known, m.clock(self.now)) and self.ended(m)]
        if free:
            self.send(self.random.choice(free), WriteKind.TAKE)

    def ended(self, member: Member) -> bool:
        record = member.known.record
        return record is not None and (record.free or member.clock(self.now) >= k.takeable_at(member.known))

    def write(self) -> None:
        holders = [member for member in self.idle() if k.holds(member.known, member.clock(self.now))]
        if holders:
            kinds = [WriteKind.RENEW] * 6 + list(GIVES_UP)
            self.send(self.random.choice(holders), self.random.choice(kinds))

    def send(self, member: Member, kind: WriteKind) -> None:
        known, clock, ttl = member.known, member.clock(self.now), self.random.choice(TTLS)
        assert known.record is not None
        epoch = known.record.epoch + (kind is WriteKind.TAKE)
        self.nonces += 1
        pause = kind is WriteKind.RENEW and self.random.random() < (0.5 if known.record.pause else 0.3)
        attempt = Attempt(f"n{self.nonces}", clock, ttl, kind, epoch, known.version, pause)
        holder = Holder(member.name, "", attempt.nonce, 1, 1, pause)
        released = epoch if kind is WriteKind.RELEASE else None
        new = msgspec.structs.replace(
            known.record, leader=member.name, epoch=epoch, ttl=ttl, holder=holder, released=released, pause=pause
        )
        if kind in GIVES_UP:
            member.given_up = clock
        member.learn(k.sent(known, attempt))
        self.sent.append((member, attempt, new))

    def start_anew(self) -> None:
        """A new agent inherits the mapping: the deadline, and what may still succeed or is held (runtime.lock)."""
        member = self.random.choice(self.members)
        known = member.known
        if known.held is None and self.record.nonce == self.edited:
            return  # an observer that starts after a person's edit cannot know what the ttl was
        attempts = (*known.unanswered, *((known.held,) if known.held else ()))
        member.known = Knowledge(unanswered=attempts, highest_epoch=known.highest_epoch)
        if member.fence == 0.0:
            member.given_up = member.clock(self.now)

    def nobody_else_is_armed(self, taker: Member) -> None:
        for other in self.members:
            if other is not taker:
                left = other.fence - other.clock(self.now)
                assert left <= 0, f"S1 {taker.name} takes while {other.name} is armed for {left:.2f} s"


@pytest.mark.parametrize("block", range(8))
def test_nobody_takes_while_another_is_armed(block: int) -> None:
    takes = sum(Episode(seed).run() for seed in range(block * EPISODES, (block + 1) * EPISODES))
    assert takes > 2 * EPISODES, "hardly anything happened"
