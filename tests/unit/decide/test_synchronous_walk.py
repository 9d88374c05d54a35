"""S3 on a small model: whatever happens between any two steps, each set that can elect meets each that acknowledges.

The model has one primary, three standbys and the lock; its steps are those of the shipped `plan`. Commits, losses,
changes of the configuration, lost replies and crashes of the agent come in every order that chance finds.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import msgspec
import pytest
from tests.unit.decide.views import NOW, holding, lease, peer, primary, status, view

from pgherd.decide import synchronous
from pgherd.model.knowledge import Attempt, WriteKind
from pgherd.model.member import MemberStatus
from pgherd.model.position import Position
from pgherd.model.settings import Configuration
from pgherd.model.synchronous import ALONE, NOBODY, Enforced, Rule, Sender, Synchronous
from pgherd.model.view import View

OTHERS = ("m0", "m2", "m3")
WALKS, STEPS = 500, 140


class Model:
    """m1 is the primary; the others follow it."""

    def __init__(self, chance: random.Random) -> None:
        self.random = chance
        self.configuration = Configuration(synchronous_mode=chance.choice(["on", "quorum", "off"]))
        self.store: Synchronous | None = None
        self.known: Synchronous | None = None
        self.unanswered: Synchronous | None = None
        self.waits_for_answer = False
        self.file = ALONE
        self.rules: list[Rule] = [ALONE]
        self.wanted: Rule | None = None
        self.proof: Enforced | None = None
        self.alive = dict.fromkeys(OTHERS, True)
        self.lsn = dict.fromkeys(("m1", *OTHERS), 0)
        self.acked = 0
        self.largest = 0

    def view(self) -> View:
        record = lease(leader="m1", address="10.0.0.1", candidates=(), sync=self.known)
        known = holding(record)
        if self.waits_for_answer:
            attempt = Attempt("w", NOW, 10, WriteKind.RENEW, record.epoch, known.version)
            known = msgspec.structs.replace(known, unanswered=(attempt,))
        senders = tuple(Sender(name, self.lsn[name]) for name in OTHERS if self.alive[name])
        return view(
            knowledge=known, configuration=self.configuration, enforced=self.proof,
            server=primary(position=Position(2, self.lsn["m1"]), senders=senders),
            unsent_since={name: NOW - 5 for name in OTHERS if not self.alive[name]},
            peers=tuple(peer(name, self.words(name)) for name in OTHERS),
        )  # fmt: skip

    def words(self, name: str) -> MemberStatus | None:
        if not self.alive[name] and self.random.random() < 0.5:
            return None
        streams = {"streaming_from": "m1", "receiver_timeline": 2} if self.alive[name] else {}
        return status(name, role="replica", position=Position(2, self.lsn[name]), **streams)

    # What may happen.

    def commit(self) -> None:
        """Acknowledged as soon as everybody has it whom one of the rules in force names."""
        self.lsn["m1"] += 1
        rule = self.random.choice(self.rules)
        able = [each.member for each in rule.standbys if self.alive.get(each.member, False)]
        if len(able) >= rule.votes:
            for name in self.random.sample(able, rule.votes):
                self.lsn[name] = self.lsn["m1"]
            self.acked = self.lsn["m1"]

    def catch_up(self) -> None:
        name = self.random.choice(OTHERS)
        if self.alive[name]:
            self.lsn[name] = self.lsn["m1"]

    def lose_or_return(self) -> None:
        name = self.random.choice(OTHERS)
        self.alive[name] = not self.alive[name]

    def configure(self) -> None:
        self.configuration = Configuration(
            synchronous_mode=self.random.choice(["on", "quorum", "quorum", "off"]),
            synchronous_mode_strict=self.random.random() < 0.3,
            synchronous_node_count=self.random.choice([1, 2]),
        )

    def decide(self) -> None:
        """As holder.primary and the runtime carry it out; a write ends in one of five ways."""
        seen = self.view()
        record = seen.knowledge.record
        assert record is not None
        plan = synchronous.plan(seen, record, NOW)
        if plan.require is not None and plan.require != self.wanted:
            self.wanted, self.proof = plan.require, None
        if plan.sync != self.known and not self.waits_for_answer:
            self.unanswered, self.waits_for_answer = plan.sync, True
            if self.random.random() < 0.7:
                self.store = plan.sync  # it arrived
            if self.random.random() < 0.5:
                self.answer()

    def answer(self) -> None:
        """The reply, a conflict, or a read: what is in the store is known now, and nothing else is possible."""
        self.known, self.unanswered, self.waits_for_answer = self.store, None, False

    def write_file(self) -> None:
        if self.wanted is not None:
            self.file = self.wanted

    def reload_begins(self) -> None:
        self.rules = [*(rule for rule in self.rules if rule != self.file), self.file]

    def reload_ends(self) -> None:
        self.rules = [self.rules[-1]]
        if self.wanted is not None and self.file == self.rules[0] == self.wanted:
            self.proof = self.proof or Enforced(self.wanted, self.lsn["m1"])

    def agent_dies(self) -> None:
        self.wanted = self.proof = None

    def check(self) -> None:
        for outcome in (self.store, self.unanswered):
            if outcome is None or not outcome.members:
                continue
            names = [each.member for each in outcome.members]
            self.largest = max(self.largest, len(names))
            assert 0 < outcome.votes <= len(names)
            for electing in itertools.combinations(names, outcome.reports):
                have = [name for name in electing if self.lsn[name] >= self.acked]
                assert have, f"S3 {electing} may elect, and nobody of them has what was acknowledged"
                for rule in self.rules:
                    for acknowledging in itertools.combinations((each.member for each in rule.standbys), rule.votes):
                        assert {*electing} & {*acknowledging}, f"S3 {electing} may elect, {acknowledging} acknowledge"


def walk(seed: int) -> Model:
    model = Model(random.Random(seed))
    ways: list[tuple[int, Callable[[], None]]] = [
        (6, model.commit), (4, model.catch_up), (2, model.lose_or_return), (1, model.configure), (10, model.decide),
        (4, model.answer), (4, model.write_file), (4, model.reload_begins), (4, model.reload_ends),
        (1, model.agent_dies),
    ]  # fmt: skip
    for _ in range(STEPS):
        [way] = model.random.choices([way for _, way in ways], [weight for weight, _ in ways])
        way()
        model.check()
    return model


def test_no_order_of_events_lets_a_member_be_elected_that_lacks_a_commit() -> None:
    largest = [walk(seed).largest for seed in range(WALKS)]
    assert largest.count(2) > WALKS / 20 and largest.count(1) > WALKS / 10, "hardly anybody ever entered the set"


@pytest.mark.parametrize("broken", ["has_entered", "fit"])
def test_the_model_notices_a_broken_rule(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if broken == "has_entered":
        monkeypatch.setattr(synchronous, "has_entered", lambda seen, who: True)
    else:
        monkeypatch.setattr(synchronous, "has_entered", lambda seen, who: seen.enforced is not None)
    with pytest.raises(AssertionError, match="S3"):
        for seed in range(WALKS):
            walk(seed)


def test_nobody_is_no_member() -> None:
    assert NOBODY.member not in {"m1", *OTHERS}
