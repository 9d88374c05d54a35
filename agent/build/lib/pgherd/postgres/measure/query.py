"""One query of the statistics: its SQL by server version, and which column is which family."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from pgherd.model.metrics import Family, Kind, Sample

PREFIX = "pgherd_postgres_"
MOST = 100
"""Rows of a query that become series: thousands of databases or slots must not become as many series a member."""


class Query(msgspec.Struct, frozen=True):
    """Columns that are no label are families: a column's name is the family's without PREFIX."""

    name: str
    variants: Mapping[int, str]
    """SQL from this major version on."""
    families: tuple[Family, ...]
    labels: tuple[str, ...] = ()
    every: float = 0.0
    """Seconds for which an answer is shown again: for what costs PostgreSQL more than a look into its memory."""

    def sql(self, version: int) -> str:
        """For this major version, with one row more than is shown."""
        text = self.variants[max(since for since in self.variants if since <= version)]
        return f"SELECT * FROM ({text}) AS found LIMIT {MOST + 1}"

    def samples(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Sample]:
        """What is NULL is not known, or does not apply here: it is left out."""
        for row in rows:
            labels = tuple(str(row[label]) for label in self.labels)
            for family in self.families:
                value = row[family.name.removeprefix(PREFIX)]
                if value is not None:
                    yield Sample(family, float(value), labels)


def query(
    name: str,
    sql: str | Mapping[int, str],
    families: Mapping[str, tuple[Kind, str]],
    labels: tuple[str, ...] = (),
    every: float = 0.0,
) -> Query:
    """Short form for the table in `queries`: families by column."""
    variants = {14: sql} if isinstance(sql, str) else sql
    made = tuple(Family(PREFIX + column, kind, text, labels) for column, (kind, text) in families.items())
    return Query(name, variants, made, labels, every)
