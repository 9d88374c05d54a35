"""`postgres_patches` may change what the templates render, but nothing that a promise of the product rests on."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgherd.postgres.plugins.module_utils.declaration import Invalid

from .rendering import cluster

INSTANCE = {"name": "instance1", "replicas": 1, "storage": "1Gi"}


def pod(**spec: Any) -> dict[str, Any]:
    return {"kind": "StatefulSet", "merge": {"spec": {"template": {"spec": spec}}}}


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        (pod(shareProcessNamespace=True), "spec.template.spec.shareProcessNamespace: must stay false"),
        (pod(hostPID=True), "spec.template.spec.hostPID: must stay false"),
        (pod(containers=[{"name": "database", "command": ["sleep"]}]), "containers[database].command: cannot be set"),
        (
            pod(containers=[{"name": "beside", "volumeMounts": [{"name": "identity", "mountPath": "/x"}]}]),
            "containers[beside].volumeMounts[identity]: cannot be mounted",
        ),
        ({"kind": "StatefulSet", "merge": {"spec": {"replicas": 2}}}, "spec.replicas: must stay 1"),
        (
            {"kind": "StatefulSet", "merge": {"spec": {"updateStrategy": {"type": "RollingUpdate"}}}},
            "spec.updateStrategy.type: must stay OnDelete",
        ),
        (
            {"kind": "Service", "merge": {"metadata": {"labels": {"pgherd.dev/applied-by": None}}}},
            'merge.metadata.labels["pgherd.dev/applied-by"]: labels that begin with pgherd.dev/ are pgherd',
        ),
        ({"kind": "Service", "merge": {"metadata": {"labels": None}}}, "merge.metadata.labels: cannot be removed"),
        (
            {
                "kind": "StatefulSet",
                "merge": {"spec": {"template": {"metadata": {"labels": {"pgherd.dev/data": "x"}}}}},
            },
            'spec.template.metadata.labels["pgherd.dev/data"]: labels that begin',
        ),
        (
            {
                "kind": "Service",
                "name": "demo-replicas",
                "merge": {"spec": {"selector": {"pgherd.dev/role": "primary"}}},
            },
            'spec.selector["pgherd.dev/role"]: labels that begin',
        ),
        ({"kind": ["Service"], "merge": {}}, 'postgres_patches[0].kind=["Service"]: must be one of'),
        ({"kind": "Service", "merge": {"metadata": None}}, "postgres_patches[0].merge.metadata=null: must be a dict"),
        ({"kind": "Service", "merge": []}, "postgres_patches[0].merge=[]: must be a dictionary"),
    ],
)
def test_refused(patch: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid) as caught:
        cluster(patches=[patch])
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "patch",
    [
        pod(shareProcessNamespace=False, hostPID=False, priorityClassName="high"),
        pod(containers=[{"name": "database", "env": [{"name": "TZ", "value": "UTC"}]}]),
        pod(containers=[{"name": "shipper", "image": "x", "command": ["ship"]}]),
        {"kind": "Service", "name": "demo-ha", "merge": {"metadata": {"labels": {"team": "blue"}, "annotations": {}}}},
    ],
)
def test_taken(patch: dict[str, Any]) -> None:
    assert cluster(patches=[patch])["patches"] == [patch]


@pytest.mark.parametrize(
    ("instances", "said"),
    [
        ([{**INSTANCE, "members": ["demo-instance1-" + "a" * 40]}], "has 55 characters; a member may have 52"),
        (
            [{**INSTANCE, "name": name, "members": ["demo-a-b-x"]} for name in ("a-b", "a")],
            'postgres_instances[1].members="demo-a-b-x": is also a member of another set',
        ),
    ],
)
def test_members_that_cannot_be(instances: Any, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        cluster(instances=instances)
    assert said in str(caught.value)


def test_a_load_balancers_address_is_an_address_in_the_certificate() -> None:
    (server, *_) = cluster(certificate_names=["db.example.org", "192.0.2.7", "2001:db8::7"])["certificates"]
    assert server["addresses"] == ["192.0.2.7", "2001:db8::7"]
    assert "db.example.org" in server["dns"] and "192.0.2.7" not in server["dns"]
