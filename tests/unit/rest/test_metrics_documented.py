"""docs/monitoring.md names every family that is shown, with its kind, labels and meaning, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from pgherd.model.metrics import Family
from pgherd.postgres.measure.gather import FAMILIES as MEASURED
from pgherd.rest import gauges, patroni_metrics
from pgherd.runtime import tally

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs/monitoring.md").read_text()


def row(family: Family) -> str:
    labels = ", ".join(f"`{label}`" for label in family.labels)
    return f"| `{family.name}` | {family.kind} | {labels} | {family.text} |"


def test_every_family_has_its_row() -> None:
    shown = [row(family) for family in (*gauges.FAMILIES, *tally.FAMILIES, *MEASURED)]
    written = [line for line in TEXT.splitlines() if re.match(r"\| `pgherd_", line)]
    assert sorted(written) == sorted(shown)


def test_patronis_names_are_named() -> None:
    written = set(re.findall(r"`(patroni_[a-z_]+)`", TEXT))
    assert written == {family.name for family in patroni_metrics.FAMILIES}


def test_every_alert_has_a_row_that_says_what_to_do() -> None:
    rules = yaml.safe_load((ROOT / "roles/cluster/files/alerts.yaml").read_text())["groups"][0]["rules"]
    written = re.findall(r"^\| `(Pgherd\w+)` \| (\w+) \| \S.+\|$", TEXT, re.MULTILINE)
    assert written == [(rule["alert"], rule["labels"]["severity"]) for rule in rules]
