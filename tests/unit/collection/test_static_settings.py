"""What a cluster that is there cannot follow is refused with its name, before anything is written."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgherd.postgres.plugins.module_utils.apply import Refused
from ansible_collections.pgherd.postgres.plugins.module_utils.converge import converge
from ansible_collections.pgherd.postgres.plugins.module_utils.declaration import declare
from ansible_collections.pgherd.postgres.plugins.module_utils.names import PGO_PREFIX
from ansible_collections.pgherd.postgres.plugins.module_utils.static_settings import FILE, static_settings

from .memory import Memory
from .rendering import cluster, variables
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


# The labels' prefix


@pytest.mark.parametrize("check", [True, False])
def test_another_prefix_is_refused_although_nothing_is_found_by_it(check: bool) -> None:
    api = made()
    before = api.versions()
    with pytest.raises(Refused, match=r"^postgres_label_prefix=example.org/: .* says pgherd.dev/, .* Nothing was ch"):
        converge(api, wanted(label_prefix="example.org/"), check)
    assert api.versions() == before


def test_an_object_of_another_prefix_has_not_lost_its_label() -> None:
    api = made()
    del api.objects[SETTINGS]
    before = api.versions()
    with pytest.raises(Refused, match="already there without the label example.org/cluster=demo: .*Claim demo-"):
        converge(api, wanted(label_prefix="example.org/"), check=False)
    assert api.versions() == before


def test_a_manifest_leaves_a_cluster_the_prefix_that_the_inventory_says() -> None:
    manifest = {
        "apiVersion": "postgres-operator.crunchydata.com/v1beta1", "kind": "PostgresCluster",
        "metadata": {"name": "demo"},
        "spec": {
            "postgresVersion": 17,
            "instances": [{"name": "instance1", "replicas": 3, "dataVolumeClaimSpec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}],
        },
    }  # fmt: skip
    given = {**variables(), "postgres_cluster_manifest": manifest}
    del given["postgres_instances"]
    prefixes = [
        declare({**given, **said}, "demo")["prefix"]
        for said in ({}, {"postgres_label_prefix": ""}, {"postgres_label_prefix": "pgherd.dev/"})
    ]
    assert prefixes == [PGO_PREFIX, PGO_PREFIX, "pgherd.dev/"]
    assert cluster()["prefix"] == "pgherd.dev/"
