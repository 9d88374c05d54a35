"""Small patches of shipped code, each of which breaks one safety rule. Never of the simulator.

A patch is text that must occur exactly once: when shipped code moves, the mutant says so instead of doing nothing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Patch:
    file: str
    """Below agent/src/pgherd."""
    symbol: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    name: str
    invariants: tuple[str, ...]
    """Any of these must be what fails."""
    patches: tuple[Patch, ...]


LOCK, KNOWLEDGE, ELECTION = "runtime/lock.py", "model/knowledge.py", "decide/election.py"
HOLDER, COMPARE, STATE = "decide/holder.py", "decide/compare.py", "runtime/state.py"
SYNCHRONOUS = "decide/synchronous.py"

MUTANTS = (
    Mutant(
        "no fence: the deadline lies far in the future",
        ("S1", "S4"),
        (Patch(LOCK, "Lock._obey", "self._fence.arm(wanted, ", "self._fence.arm(wanted + 60.0, "),),
    ),
    Mutant(
        "the deadline counts from the reply",
        ("S1", "S4"),
        (
            Patch(
                KNOWLEDGE,
                "observed",
                "    held = mine or (",
                "    mine = mine and msgspec.structs.replace(mine, t0=now)\n    held = mine or (",
            ),
        ),
    ),
    Mutant(
        "no margin between the fence and the lease's end",
        ("S1", "S4"),
        (Patch("model/settings.py", "margin", "return max(1.0, ttl / 10)", "return 0.0"),),
    ),
    Mutant(
        "a renewal does not start the wait anew",
        ("S1",),
        (
            Patch(
                KNOWLEDGE,
                "observed",
                "first_seen=known.first_seen if same else now",
                "first_seen=known.first_seen or now",
            ),
        ),
    ),
    Mutant(
        "a vanished pod is taken for a dead one",
        ("S1",),
        (
            Patch(
                ELECTION,
                "opening",
                "    ends = takeable_at(known)\n",
                "    if record.holder and all(pod.uid != record.holder.uid for pod in view.pods):\n"
                '        return Opening(known.first_seen, Reason("container-dead", "the pod is gone"), True)\n'
                "    ends = takeable_at(known)\n",
            ),
        ),
    ),
    Mutant(
        "the death of any container of the pod counts",
        ("S1",),
        (
            Patch(ELECTION, "dead", "d.uid == holder.uid and d.container == holder.container", "d.uid == holder.uid"),
            Patch(
                STATE,
                "State._death_seen",
                "seen.get(Death(holder.uid, holder.container))",
                "min((at for death, at in seen.items() if death.uid == holder.uid), default=None)",
            ),
        ),
    ),
    Mutant(
        "a lock object that was made anew is believed",
        ("S1", "S2", "S4"),
        (Patch(KNOWLEDGE, "observed", "if record.epoch < known.highest_epoch:", "if False:"),),
    ),
    Mutant(
        "a ttl that somebody shortens counts from what it was",
        ("S1",),
        (
            Patch(
                KNOWLEDGE,
                "observed",
                "promised=takeable_at(known) if last is not None and last.nonce == record.nonce else 0.0,",
                "promised=0.0,",
            ),
        ),
    ),
    Mutant(
        "a write without an answer is forgotten: its ttl does not count",
        ("S1", "S4"),
        (
            Patch(
                KNOWLEDGE,
                "_shortest",
                "min([held.ttl, *read, *(attempt.ttl for attempt in known.unanswered)])",
                "min([held.ttl, *read])",
            ),
        ),
    ),
    Mutant(
        "renewed without proof that PostgreSQL works",
        ("S4",),
        (
            Patch(
                HOLDER,
                "healthy",
                "return health is not None and health.alive and health.checked >= held.t0",
                "return True",
            ),
            Patch(
                HOLDER,
                "primary",
                "if view.health and not view.health.alive and view.health.checked >= held.t0:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "a lock object that names nobody is waited out like any other",
        ("S2", "S7"),
        (
            Patch(
                "decide/core.py",
                "decide",
                "if not record.free and (record.leader is None or record.holder is None):",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "the leader's own words on whose data it has are not compared",
        ("S6",),
        (Patch(COMPARE, "foreign", "return own is not None and theirs is not None and own != theirs", "return False"),),
    ),
    Mutant(
        "neither timeline nor lag of a candidate is compared",
        ("S2",),
        (
            Patch(
                ELECTION,
                "unfit",
                "    writable = record.holder.writable if record.holder else 0\n",
                "    return None\n    writable = 0\n",
            ),
        ),
    ),
    Mutant(
        "a new timeline is only above the own ones",
        ("S2",),
        (Patch(COMPARE, "numbers_seen", "    if record.holder:\n        yield record.holder.timeline\n", ""),),
    ),
    Mutant(
        "timelines are compared by number only",
        ("S5",),
        (
            Patch(
                "model/position.py",
                "contains",
                "entry.timeline == position.timeline and position.lsn <= entry.end",
                "entry.timeline == position.timeline",
            ),
        ),
    ),
    Mutant(
        "another cluster's data is not noticed",
        ("S6",),
        (
            Patch(
                COMPARE, "foreign", "return own is not None and theirs is not None and own != theirs", "return False"
            ),
            Patch(
                COMPARE,
                "_of_another",
                "return own is not None and theirs is not None and own != theirs",
                "return False",
            ),
        ),
    ),
    Mutant(
        "an empty member initialises whatever the others have",
        ("S7",),
        (
            Patch(ELECTION, "found_cluster", "    if missing:\n        return", "    if False:\n        return"),
            Patch(ELECTION, "found_new", "if record.holder is not None and record.holder.writable > 0:", "if False:"),
        ),
    ),
    Mutant(
        "a member that does not stream is a candidate",
        ("S8", "S2"),
        (Patch(COMPARE, "candidates", "if streams and near and", "if"),),
    ),
    Mutant(
        "synchronous: the setting is narrowed before the lease's set",
        ("S3",),
        (
            Patch(
                SYNCHRONOUS,
                "plan",
                "    if pending or not wanted.covers(before.members, before.votes):\n",
                "    if pending:\n",
            ),
        ),
    ),
    Mutant(
        "synchronous: the setting follows the last record read, whatever an unanswered write may have made of it",
        ("S3",),
        (
            Patch(
                SYNCHRONOUS,
                "plan",
                "    pending = view.writing or bool(view.knowledge.unanswered)\n",
                "    pending = False\n",
            ),
        ),
    ),
    Mutant(
        "synchronous: a member enters the set before the setting is proved to name it",
        ("S3",),
        (
            Patch(
                SYNCHRONOUS,
                "has_entered",
                "    if proof is None or who not in proof.rule.standbys or status is None or status.position is None:\n"
                "        return False\n",
                "    if status is None or status.position is None:\n        return False\n",
            ),
            Patch(SYNCHRONOUS, "has_entered", " and status.position.lsn >= proof.flushed\n", "\n"),
            Patch(
                SYNCHRONOUS,
                "next_set",
                "view.enforced is not None and view.enforced.rule.covers(members, len(members))",
                "True",
            ),
        ),
    ),
    Mutant(
        "synchronous: a member outside the set may be elected",
        ("S3",),
        (Patch(SYNCHRONOUS, "barred", "if record.sync is None or record.sync.has(who):", "if True:"),),
    ),
    Mutant(
        "synchronous: promoted with a setting that does not hold the inherited set",
        ("S3",),
        (
            Patch(
                SYNCHRONOUS,
                "needed",
                "if record.sync is not None and record.sync.members:",
                "if False and record.sync is not None:",
            ),
        ),
    ),
    Mutant(
        "synchronous: votes are not counted",
        ("S3",),
        (Patch(SYNCHRONOUS, "short", "return max(0, record.sync.reports - votes)", "return 0"),),
    ),
    Mutant(
        "synchronous: votes are counted before the WAL receiver has ended",
        ("S3",),
        (
            Patch(
                SYNCHRONOUS,
                "cuts_off",
                "    return by_votes(record, who) and view.cut_off != record.nonce\n",
                "    return False\n",
            ),
            Patch(SYNCHRONOUS, "short", "votes = int(view.cut_off == record.nonce)", "votes = 1"),
            Patch(
                SYNCHRONOUS,
                "short",
                " in record.sync.members and status.cut_off == record.nonce\n",
                " in record.sync.members\n",
            ),
        ),
    ),
)
