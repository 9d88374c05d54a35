"""What objects say together: which pods are outdated, who streams, what an agent's word is about."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.pgherd.postgres.plugins.module_utils.rollout_observe import Place, digest, sight
from ansible_collections.pgherd.postgres.plugins.module_utils.rollout_plan import Member, Synchronous

A, B = "demo-a-0", "demo-b-0"
CONFIG = json.dumps({"synchronous_mode": True, "synchronous_node_count": 2, "synchronous_mode_strict": True})
STATIC = {"data": {"pgherd.yaml": "cluster: demo\n"}}
SETTINGS = digest("cluster: demo\n")
CANDIDATES = json.dumps([{"member": B, "incarnation": "i"}])
SAID: dict[str, Any] = {
    "state": "running", "configuration": digest(CONFIG), "seen": digest(CONFIG), "settings": SETTINGS,
    "streaming_from": A, "pending_restart": {}, "refused": "",
}  # fmt: skip


def owner(name: str, **more: Any) -> dict[str, Any]:
    status = {"observedGeneration": 2, "updateRevision": "new", **more.pop("status", {})}
    return {
        "metadata": {"name": name[:-2], "uid": f"set-{name}", "generation": 2, "labels": {"p/instance": name[:-2]}},
        "spec": {"replicas": 1, **more}, "status": status,
    }  # fmt: skip


def pod(name: str, said: dict[str, Any] | None = None, revision: str = "new", **metadata: Any) -> dict[str, Any]:
    annotations = {"p/status": json.dumps({**SAID, **said})} if said is not None else {}
    return {
        "metadata": {
            "name": name, "uid": f"pod-{name}", "annotations": {**annotations, **metadata.pop("annotations", {})},
            "labels": {"p/instance": name[:-2], "controller-revision-hash": revision}, **metadata,
        },
        "spec": {}, "status": {"conditions": [{"type": "Ready", "status": "True"}], "phase": "Running"},
    }  # fmt: skip


def member(tags: dict[str, Any] | None = None, claim: dict[str, Any] | None = None, declared: bool = True,
           of: dict[str, Any] | None = None, pods: list[dict[str, Any]] | None = None) -> Member:  # fmt: skip
    """B, where A leads."""
    place = Place("ns", "demo", {}, "p/", "Endpoints", {A: {}, **({B: tags or {}} if declared else {})})
    lock = {"metadata": {"annotations": {"leader": A, "transitions": "1", "released": "0", "candidates": CANDIDATES}}}
    found = sight(
        place, [pod(A, {}), pod(B, {})] if pods is None else pods, [owner(A), of or owner(B)],
        [claim] if claim else [], lock, {"metadata": {"annotations": {"config": CONFIG}}}, {}, STATIC,
    )  # fmt: skip
    (chosen,) = [each for each in found.cluster.members if each.name == B]
    return chosen


def test_a_member_that_is_as_declared() -> None:
    assert member() == Member(B, state="running")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"pods": []}, {"present": False, "ready": False, "streaming": False, "state": "no pod"}),
        ({"pods": [pod(B, {}, "old")]}, {"outdated": True}),
        ({"pods": [pod(B, {}, "old")], "of": owner(B, status={"observedGeneration": 1})}, {"template_seen": False}),
        ({"pods": [pod(B, {}, deletionTimestamp="now")]},
         {"terminating": True, "ready": False, "streaming": False, "state": "terminating"}),
        ({"pods": [pod(B, {"streaming_from": "demo-c-0"})]}, {"streaming": False}),
        ({"pods": [pod(B, {"streaming_from": None})]}, {"streaming": False}),
        ({"pods": [pod(B, {"configuration": "before"})]}, {"configured": False}),
        ({"pods": [pod(B, {"configuration": "before", "refused": "no"})]}, {"configured": False, "refused": "no"}),
        ({"pods": [pod(B, {"seen": "before", "refused": "no"})]}, {"refused": ""}),
        ({"pods": [pod(B, {"pending_restart": {"shared_buffers": []}})]}, {"pending": {"shared_buffers": []}}),
        ({"pods": [pod(B, {"settings": "before"})]}, {"settled": False, "told": False}),
        ({"pods": [pod(B, {"settings": "before"}, annotations={"p/settings": SETTINGS})]}, {"settled": False}),
        ({"pods": [pod(B)]}, {"settled": False, "configured": False, "streaming": False}),
        ({"pods": [pod(B, revision="old")]}, {"outdated": True}),  # an agent of before the annotation
        ({"of": owner(B, replicas=0)}, {"running": False}),
        ({"declared": False}, {"declared": False}),
        ({"tags": {"nofailover": True}}, {"may_lead": False}),
        ({"tags": {"nosync": True}}, {"may_vote": False}),
        ({"tags": {"replicatefrom": "demo-c-0"}, "pods": [pod(B, {"streaming_from": "demo-c-0"})]},
         {"may_lead": False}),
    ],
)  # fmt: skip
def test_a_member_that_is_not(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert member(**given) == Member(B, **{"state": "running", **expected})


@pytest.mark.parametrize(
    ("status", "resizing", "at_start"),
    [
        ({}, "", False),
        ({"capacity": {"storage": "2Gi"}}, "", False),
        ({"capacity": {"storage": "1Gi"}}, "no word of the storage driver yet", False),
        ({"capacity": {"storage": "1Gi"}, "conditions": [{"type": "Resizing"}]}, "Resizing", False),
        ({"capacity": {"storage": "1Gi"}, "conditions": [{"type": "FileSystemResizePending", "message": "a start"}]},
         "a start", True),
    ],
)  # fmt: skip
def test_a_volume(status: dict[str, Any], resizing: str, at_start: bool) -> None:
    spec = {"resources": {"requests": {"storage": "2Gi"}}}
    found = member(
        claim={
            "metadata": {"name": "demo-b-pgdata", "labels": {"p/instance": "demo-b"}},
            "spec": spec,
            "status": status,
        }
    )
    assert (found.resizing, found.resized_by_start) == (resizing, at_start)


def test_the_cluster() -> None:
    place = Place("ns", "demo", {}, "p/", "Endpoints", {A: {}, B: {}})
    requests = {
        "request-1": json.dumps({"id": "1", "verb": "restart", "member": B, "state": "running"}),
        "request-2": json.dumps({"id": "2", "verb": "restart", "member": B, "state": "done"}),
        "request-3": json.dumps({"id": "3", "verb": "switchover", "state": "pending", "not_before": "2050-01-01"}),
        "request-4": json.dumps({"id": "4", "verb": "reload", "member": B, "state": "pending"}),
    }
    lock = {
        "leader": A, "transitions": "3", "released": "3", "pause": "true",
        "candidates": json.dumps([{"member": B, "incarnation": "i"}]),
        "sync": json.dumps({"mode": "on", "members": [{"member": B, "incarnation": "i"}], "votes": 1}),
    }  # fmt: skip
    config = {"metadata": {"annotations": {"config": CONFIG}}}
    found = sight(place, [], [], [], {"metadata": {"annotations": lock}}, config,
                  {"metadata": {"annotations": requests}}, STATIC).cluster  # fmt: skip
    assert (found.leader, found.last_leader, found.candidates) == ("", A, (B,))
    assert found.synchronous == Synchronous(2, True, (B,))
    assert found.paused and found.requests == ("restart 1 is running",)


def test_no_cluster_at_all() -> None:
    place = Place("ns", "demo", {}, "p/", "Endpoints", {A: {}, B: {}})
    assert sight(place, [], [], [], {}, {}, {}, {}).cluster.members == ()
