"""What a cluster that is there cannot follow is refused with its name, before anything is written."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgherd.postgres.plugins.module_utils.apply import Refused
from ansible_collections.pgherd.postgres.plugins.module_utils.converge import converge
from ansible_collections.pgherd.postgres.plugins.module_utils.static_settings import FILE, static_settings

from .memory import Memory
from .test_converge import BASE, made, moved, wanted

SETTINGS = f"{BASE}/configmaps/demo-config"


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(
    ("variable", "value", "has", "instead"),
    [
        ("version", 16, 17, "copy the data into another cluster"),
        ("port", 5433, 5432, "delete the cluster"),
        ("rest_port", 8009, 8008, "delete the cluster"),
    ],
)
def test_what_a_living_cluster_cannot_follow_is_refused(
    variable: str, value: int, has: int, instead: str, check: bool
) -> None:
    api = made()
    before = api.versions()
    with pytest.raises(Refused) as refused:
        converge(api, wanted(**{variable: value}), check)
    said = str(refused.value)
    assert said.startswith(f"postgres_{variable}={value}: ConfigMap demo-config in namespace databases")
    assert f"says {has}" in said and f"Set postgres_{variable} to {has}, or {instead}" in said
    assert said.endswith("Nothing was changed.")
    assert api.versions() == before


def test_everything_that_cannot_be_changed_is_named_at_once() -> None:
    with pytest.raises(Refused, match=r"postgres_version=18: .* postgres_port=5433: .* postgres_rest_port=8009: "):
        converge(made(), wanted(version=18, port=5433, rest_port=8009), check=False)


@pytest.mark.parametrize("text", ["", "[]", "port: [", "{postgres: 17, rest: {port: null}}"])
def test_a_file_that_says_nothing_is_put_back(text: str) -> None:
    api = made()
    api.objects[SETTINGS]["data"][FILE] = text
    assert moved(converge(api, wanted(), check=False)) == {"ConfigMap/demo-config": "changed"}
    assert static_settings(api.objects[SETTINGS])["postgres"]["port"] == 5432


def test_a_cluster_that_is_not_there_may_have_any() -> None:
    api = Memory()
    converge(api, wanted(version=16, port=5433, rest_port=8009), check=False)
    found: dict[str, Any] = static_settings(api.objects[SETTINGS])
    assert (found["postgres"]["version"], found["postgres"]["port"], found["rest"]["port"]) == (16, 5433, 8009)
