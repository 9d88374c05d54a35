"""What this agent has done since it started, counted for `/metrics`. Lives with the agent; a new one begins at 0.

Whoever does the thing adds to it. Every combination of labels is there from the start, so that the first event is an
increase and not a new series.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from pgherd.model.knowledge import WriteKind
from pgherd.model.metrics import Family, Sample
from pgherd.model.view import TaskKind

DECISIONS = Family("pgherd_decisions_total", "counter", "Decisions taken.")
WRITES = Family(
    "pgherd_lease_writes_total",
    "counter",
    "Writes of the lock object by kind; unanswered: it may have succeeded, and is read back.",
    ("kind", "outcome"),
)
WRITE_SECONDS = Family("pgherd_lease_write_seconds_total", "counter", "Time spent waiting for answers to them.")
TASKS = Family("pgherd_tasks_total", "counter", "Long actions on PostgreSQL that have ended.", ("task", "outcome"))
TASK_SECONDS = Family("pgherd_task_seconds_total", "counter", "Time spent in them.", ("task",))
EXITS = Family(
    "pgherd_postgres_exits_total",
    "counter",
    "Ends of PostgreSQL's first process: by itself, with an error, or by a signal.",
    ("how",),
)

CONFIRMED, CONFLICT, REFUSED, UNANSWERED = OUTCOMES = ("confirmed", "conflict", "refused", "unanswered")
DONE, FAILED, REPLACED = ENDS = ("done", "failed", "replaced")

FAMILIES = (DECISIONS, WRITES, WRITE_SECONDS, TASKS, TASK_SECONDS, EXITS)


class Tally:
    def __init__(self) -> None:
        kinds, tasks = [kind.value for kind in WriteKind], [kind.value for kind in TaskKind]
        self._counts: dict[Family, dict[tuple[str, ...], float]] = {
            DECISIONS: {(): 0.0},
            WRITES: dict.fromkeys(product(kinds, OUTCOMES), 0.0),
            WRITE_SECONDS: {(): 0.0},
            TASKS: dict.fromkeys(product(tasks, ENDS), 0.0),
            TASK_SECONDS: dict.fromkeys(product(tasks), 0.0),
            EXITS: dict.fromkeys(product(("clean", "error", "signal")), 0.0),
        }

    def add(self, family: Family, *labels: str, by: float = 1.0) -> None:
        """Raises KeyError for labels that are not there from the start."""
        self._counts[family][labels] += by

    def exited(self, status: int) -> None:
        """Of the postmaster; a negative status is the signal."""
        self.add(EXITS, "signal" if status < 0 else "error" if status else "clean")

    def samples(self) -> Iterator[Sample]:
        for family, counts in self._counts.items():
            for labels, value in counts.items():
                yield Sample(family, value, labels)
