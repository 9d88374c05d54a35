"""Mutants of synchronous replication (S3)."""

from __future__ import annotations

from tests.simulation.mutants.mutant import Mutant, Patch

SYNCHRONOUS = "decide/synchronous.py"

SYNCHRONOUS_MUTANTS = (
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
        fault="interrupt_entry",
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
        "synchronous: promoted with a setting that does not hold the inherited set, which no standby's does either",
        ("S3",),
        (
            Patch(
                SYNCHRONOUS,
                "idle",
                "    return WAIT if view.configuration.synchronous or record.sync is not None else ALONE\n",
                "    return ALONE\n",
            ),
            Patch(
                SYNCHRONOUS,
                "needed",
                "if record.sync is not None and record.sync.members:",
                "if False and record.sync is not None:",
            ),
        ),
        fault="interrupt_take",
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
