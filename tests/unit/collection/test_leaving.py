"""A member that is no longer declared keeps what it needs until a rollout has removed it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from ansible_collections.pgherd.postgres.plugins.module_utils.converge import Wanted, converge

from .memory import Memory
from .test_converge import BASE, moved, wanted

ROLE = "/apis/rbac.authorization.k8s.io/v1/namespaces/databases/roles/demo-instance"
GONE = "demo-instance1-6flh"


def declared(replicas: int, name: str = "instance1") -> Wanted:
    sets = [{"name": name, "replicas": replicas, "storage": "1Gi"}]
    return dataclasses.replace(wanted(instances=sets), keep_members="pgherd.dev/instance")


def made() -> Memory:
    api = Memory()
    converge(api, declared(3), check=False)
    return api


def patches(api: Memory) -> list[str]:
    (rule,) = [
        each for each in api.objects[ROLE]["rules"] if each["resources"] == ["pods"] and "patch" in each["verbs"]
    ]
    names: list[str] = rule["resourceNames"]
    return names


def test_it_may_say_what_it_does_and_be_told_apart() -> None:
    api = made()
    before = patches(api)
    assert f"{GONE}-0" in before
    converge(api, declared(2), check=False)
    assert f"/apis/apps/v1/namespaces/databases/statefulsets/{GONE}" in api.objects
    assert sorted(patches(api)) == sorted(before)


def test_a_set_that_replaces_another_has_the_rights_beside_it() -> None:
    api = made()
    before = patches(api)
    converge(api, declared(1, "other"), check=False)
    assert set(before) < set(patches(api)) and len(patches(api)) == 4


def test_its_removal_changes_nothing_while_its_volume_is_there() -> None:
    api = made()
    converge(api, declared(2), check=False)
    del api.objects[f"/apis/apps/v1/namespaces/databases/statefulsets/{GONE}"]
    assert moved(converge(api, declared(2), check=False)) == {}
    del api.objects[f"{BASE}/persistentvolumeclaims/{GONE}-pgdata"]
    assert moved(converge(api, declared(2), check=False)) == {"Role/demo-instance": "changed"}
    assert f"{GONE}-0" not in patches(api)


@pytest.mark.parametrize("field", ["labels", "managedFields"])
def test_a_volume_of_somebody_else_gives_no_right(field: str) -> None:
    api = made()
    theirs: dict[str, Any] = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": {},
        "metadata": {
            "name": "theirs", "namespace": "databases", "uid": "x", "resourceVersion": "1",
            "labels": {"pgherd.dev/cluster": "demo", "pgherd.dev/applied-by": "play", "pgherd.dev/instance": "theirs"},
            "managedFields": [{"manager": "pgherd-play"}],
        },
    }  # fmt: skip
    if field == "labels":
        del theirs["metadata"]["labels"]["pgherd.dev/applied-by"]
    else:
        theirs["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    api.objects[f"{BASE}/persistentvolumeclaims/theirs"] = theirs
    assert moved(converge(api, declared(3), check=False)) == {}
