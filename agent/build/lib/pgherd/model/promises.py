"""Failsafe: without the Kubernetes API a lease goes on by the promises of everybody who could take it.

Pure, as model.knowledge: the runtime and the simulation drive the same functions. A holder whose renewals are not
confirmed asks every recorded candidate, those of its unanswered writes included, to promise not to take the lease of
this epoch for `ttl`. A complete round moves the end of the lease to the *beginning* of the round + ttl.

Why nobody takes it meanwhile (S1). Without proof only a candidate takes, and each of them promised at an instant
after the round began: so none takes before its beginning + ttl by any clock, and a write with further candidates, sent
after the beginning, is waited out for as long by those who see it. A take that was sent before its sender promised
needs a lease that had ended; but a round counts only if it is complete before the holder's deadline, and by then
nobody could have sent one. Should one be under way all the same, its sender promises nothing until it is resolved.

A promise lives in the agent's memory. An agent that starts anew counts from its own first sight of the record, which
is later than any promise of its predecessor and waits for as long: `refusal` promises no more than the record's ttl.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from pgherd.model.knowledge import Extension, Given, Knowledge, deadline, shortest
from pgherd.model.lease import LONGEST


class Question(msgspec.Struct, frozen=True):
    """What a holder asks for: the body of POST /promise."""

    member: str
    uid: str
    """metadata.uid of the holder's pod."""
    epoch: int
    nonces: tuple[str, ...]
    """Of its last two confirmed writes and of those without an answer."""
    ttl: Annotated[float, msgspec.Meta(gt=0, le=LONGEST)]
    """Seconds, counted by the promiser from when it promises."""


class Verdict(msgspec.Struct, frozen=True):
    """The answer, and whose it is."""

    member: str
    uid: str
    refused: str = ""
    """Why there is no promise; empty when there is one."""


class Round(msgspec.Struct, frozen=True):
    """One question to all, begun at `began` on the holder's boot-time clock."""

    question: Question
    began: float
    needed: frozenset[str]
    """Members without whose promise it is not complete."""


def candidates(known: Knowledge) -> frozenset[str]:
    """Whoever may take the lease without proof: named in the record, or in a write that may have succeeded."""
    named = [known.record.candidates] if known.record else []
    named += [attempt.candidates for attempt in (known.held, *known.unanswered) if attempt is not None]
    return frozenset(candidate.member for each in named for candidate in each)


def begin(known: Knowledge, member: str, uid: str, now: float) -> Round:
    """A round on what is known at its beginning."""
    held = known.held
    assert held is not None
    nonces = (held.nonce, known.before, *(attempt.nonce for attempt in known.unanswered))
    question = Question(member, uid, held.epoch, tuple(nonce for nonce in nonces if nonce), shortest(held, known))
    return Round(question, now, candidates(known) - {member})


def uncounted(known: Knowledge, asked: Round, given: frozenset[str], now: float) -> str:
    """Why a round does not count; empty when it does."""
    missing = sorted(asked.needed - given)
    if missing:
        return f"no promise from {', '.join(missing)}"
    if known.held is None or known.held.epoch != asked.question.epoch:
        return "the lease is another one by now"
    if now >= deadline(known):
        return "the promises came after the deadline that they should have moved"
    return ""


def extend(known: Knowledge, asked: Round) -> Knowledge:
    """After a complete round."""
    made = Extension(asked.question.epoch, asked.began, asked.question.ttl)
    return msgspec.structs.replace(known, extension=made)


def refusal(known: Knowledge, asked: Question, taking: bool) -> str:
    """Why this member does not promise; empty when it may. `taking`: a write of its own is about to be sent."""
    if taking or known.unanswered:
        return "a write of its own on the lock is not resolved yet"
    if known.held is not None:
        return f"it holds the lease of epoch {known.held.epoch} itself"
    if known.given is not None and known.given.epoch > asked.epoch:
        return f"it has promised for epoch {known.given.epoch}"
    if known.record is None:
        # Who has read nothing since its start cannot take before it has, and counts from then.
        unread = not known.trouble and asked.epoch >= known.highest_epoch
        return "" if unread else known.trouble or f"it has seen epoch {known.highest_epoch}"
    return _unlike(known, asked)


def _unlike(known: Knowledge, asked: Question) -> str:
    """What is different in the record that this member sees."""
    record = known.record
    assert record is not None
    holder = record.holder
    if record.epoch != asked.epoch or holder is None or holder.uid != asked.uid or record.leader != asked.member:
        return f"it sees epoch {record.epoch} of {record.leader}"
    if record.free or record.handover is not None:
        return f"it sees that {record.leader} gave epoch {record.epoch} up"
    if record.nonce not in asked.nonces:
        return "it sees another write of the lease"
    return f"it sees a ttl of {record.ttl:g} s" if asked.ttl > record.ttl else ""


def promise(known: Knowledge, asked: Question, now: float) -> Knowledge:
    """From now on this member takes no lease of that epoch for the ttl that was asked for; never less than before."""
    before = known.given.until if known.given and known.given.epoch == asked.epoch else 0.0
    return msgspec.structs.replace(known, given=Given(asked.epoch, max(before, now + asked.ttl)))
