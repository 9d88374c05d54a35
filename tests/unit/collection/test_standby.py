"""postgres_standby becomes `standby_cluster` of the dynamic configuration; so does what a PGO manifest says of it."""

from __future__ import annotations

from typing import Any

import pytest

from .rendering import cluster
from .test_manifest import changed, declared


def test_an_ordinary_cluster_says_nothing_of_it() -> None:
    assert "standby_cluster" not in cluster()["configuration"]


def test_it_is_handed_on_without_what_is_empty() -> None:
    given = {"host": "main-primary.db.svc", "port": "5433", "primary_slot_name": "", "restore_command": None}
    assert cluster(standby=given)["configuration"]["standby_cluster"] == {"host": "main-primary.db.svc", "port": 5433}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"enabled": True, "host": "a", "port": 5433}, {"host": "a", "port": 5433}),
        ({"host": "a"}, {"host": "a"}),
        ({"enabled": False, "host": "a"}, None),
    ],
)
def test_a_manifest_says_the_same(said: dict[str, Any], expected: dict[str, Any] | None) -> None:
    assert declared(changed("spec.standby", said))["configuration"].get("standby_cluster") == expected
