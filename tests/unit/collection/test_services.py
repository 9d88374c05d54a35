"""A Service edited by hand: what nobody declared but decides where clients end is found, named and undone."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgherd.postgres.plugins.module_utils.converge import converge

from .memory import Memory
from .test_converge import BASE, HA, made, moved, wanted

REPLICAS = f"{BASE}/services/demo-replicas"
PODS = f"{BASE}/services/demo-pods"
CLIENT_IP = {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}}}


@pytest.mark.parametrize(
    ("where", "edit", "named"),
    [
        (HA, CLIENT_IP, {"spec.sessionAffinity", "spec.sessionAffinityConfig"}),
        (REPLICAS, {"publishNotReadyAddresses": True}, {"spec.publishNotReadyAddresses"}),
        (REPLICAS, {"internalTrafficPolicy": "Local"}, {"spec.internalTrafficPolicy"}),
        (REPLICAS, {"trafficDistribution": "PreferClose"}, {"spec.trafficDistribution"}),
        (HA, {"selector": {"app": "mine"}}, {"spec.selector"}),
        (PODS, {"publishNotReadyAddresses": False}, {"spec.publishNotReadyAddresses"}),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_a_change_beside_the_declaration_is_named_and_undone(
    where: str, edit: dict[str, Any], named: set[str], check: bool
) -> None:
    api = made()
    defaults(api, where)
    assert moved(converge(api, wanted(), check=False)) == {}
    before = dict(api.objects[where]["spec"])
    api.objects[where]["spec"].update(edit)
    (changed,) = [each for each in converge(api, wanted(), check) if each.moved]
    assert (changed.name, changed.action) == (where.rsplit("/", 1)[1], "changed")
    assert set(changed.fields) == named
    if not check:
        assert api.objects[where]["spec"] == before
        assert moved(converge(api, wanted(), check=False)) == {}


def defaults(api: Memory, where: str) -> None:
    """What the API server fills in."""
    spec = api.objects[where]["spec"]
    for name, value in {"sessionAffinity": "None", "internalTrafficPolicy": "Cluster"}.items():
        spec.setdefault(name, value)


def test_what_a_patch_of_the_inventory_declares_is_not_undone() -> None:
    api = made()
    for name in ("demo-ha", "demo-replicas", "demo-primary", "demo-ha-config", "demo-pods"):
        defaults(api, f"{BASE}/services/{name}")
    patch = {"kind": "Service", "name": "demo-replicas", "merge": {"spec": {"internalTrafficPolicy": "Local"}}}
    assert moved(converge(api, wanted(patches=[patch]), check=False)) == {"Service/demo-replicas": "changed"}
    assert moved(converge(api, wanted(patches=[patch]), check=False)) == {}
