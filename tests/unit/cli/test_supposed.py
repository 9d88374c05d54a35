"""`pgherd what-if` from what was seen: a sentence for everything that stands in the way."""

from __future__ import annotations

from typing import Any

import pytest

from pgherd.cli.supposed import consequence, text
from pgherd.kubernetes.store import ConfigSeen, LockSeen
from tests.unit.cli.observations import observation
from tests.unit.decide.views import SYSTEM


def test_who_would_lead_and_why_not_the_other() -> None:
    found = consequence(observation(), "m0")
    assert not isinstance(found, str)
    lines = text(found).splitlines()
    assert lines[0] == "If m0 disappears now: m1 takes the lease within 10 s and promotes onto timeline 3."
    assert lines[1].startswith("WAL at risk: 0 bytes") and lines[2].startswith("  m2: ranked behind")


def test_a_replica_is_not_missed() -> None:
    found = consequence(observation(), "m2")
    assert not isinstance(found, str)
    assert text(found) == "If m2 disappears now: m0 leads on; then m1 may take its place."


@pytest.mark.parametrize(
    ("gone", "changes", "said"),
    [
        ("m9", {}, "'m9' is no member: must be one of m0, m1, m2"),
        ("m0", {"lock": LockSeen(None, "", "the lock object is missing")}, "the lock object is missing"),
        ("m0", {"answers": {}}, "the agents were not asked"),
        ("m0", {"config": ConfigSeen("3", SYSTEM, '{"ttl": 1}')}, "ttl=1: must be at least 3 s"),
    ],
)
def test_what_stands_in_the_way_is_said(gone: str, changes: dict[str, Any], said: str) -> None:
    found = consequence(observation(**changes), gone)
    assert isinstance(found, str) and said in found
