"""Proof 2: what counts as a container's death, and what only looks like it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from lightkube.resources.core_v1 import Pod as ApiPod

from pgherd.kubernetes.pods import Census, pod_seen
from pgherd.model.member import Death

ROLE = "pgherd.dev/role"
ENDED = {
    "exitCode": 137,
    "reason": "Error",
    "startedAt": "2026-01-01T00:00:00Z",
    "finishedAt": "2026-01-01T00:01:00Z",
    "containerID": "containerd://old",
}
RUNNING = {"running": {"startedAt": "2026-01-01T00:02:00Z"}}


def pod(state: dict[str, Any], last: dict[str, Any] | None = None, uid: str = "u1", **status: Any) -> ApiPod:
    container = {
        "name": "database", "image": "i", "imageID": "i", "ready": True, "restartCount": 0,
        "containerID": "containerd://new", "state": state, "lastState": last or {},
    }  # fmt: skip
    return msgspec.convert(
        {
            "metadata": {"name": "demo-0", "uid": uid, "labels": {ROLE: "replica"}},
            "spec": {"nodeName": "n1", "containers": []},
            "status": {"podIP": "10.0.0.1", "containerStatuses": [container], **status},
        },
        ApiPod,
    )


def deaths(item: ApiPod) -> tuple[Death, ...]:
    seen = pod_seen(item, ROLE)
    assert seen is not None
    return seen.pod.deaths


def test_a_terminated_container_is_dead() -> None:
    assert deaths(pod({"terminated": ENDED})) == (Death("u1", "containerd://old"),)
    assert deaths(pod(RUNNING, {"terminated": ENDED})) == (Death("u1", "containerd://old"),)


@pytest.mark.parametrize(
    "lie",
    [
        {"reason": "ContainerStatusUnknown"},
        {"reason": "Unknown"},
        {"startedAt": None},
        {"finishedAt": None},
        {"containerID": ""},
        {"containerID": None},
    ],
)
def test_what_nobody_saw_end_is_not_dead(lie: dict[str, Any]) -> None:
    assert deaths(pod({"terminated": ENDED | lie})) == ()


def test_phase_and_waiting_prove_nothing() -> None:
    assert deaths(pod({"waiting": {"reason": "CrashLoopBackOff"}}, phase="Failed")) == ()
    assert deaths(pod(RUNNING)) == ()


def test_a_pod_as_a_member() -> None:
    seen = pod_seen(pod(RUNNING, {"terminated": ENDED}), ROLE)
    assert seen is not None
    assert (seen.pod.member, seen.pod.uid, seen.pod.address, seen.pod.node) == ("demo-0", "u1", "10.0.0.1", "n1")
    assert seen.pod.container == "containerd://new"
    assert (seen.role, seen.last_ended, seen.started) == ("replica", "containerd://old", 1767225720.0)


def test_only_a_running_container_has_an_id() -> None:
    seen = pod_seen(pod({"terminated": ENDED}), ROLE)
    assert seen is not None and seen.pod.container == ""


def test_a_death_once_seen_stays_true() -> None:
    census = Census(ROLE)
    census.reset([pod({"terminated": ENDED})])
    census.put(pod(RUNNING, {"terminated": ENDED | {"containerID": "containerd://newer"}}))
    [seen] = census.all()
    assert seen.pod.deaths == (Death("u1", "containerd://old"), Death("u1", "containerd://newer"))


def test_a_deleted_pod_is_remembered_only_for_its_deaths() -> None:
    census = Census(ROLE)
    census.reset([pod(RUNNING)])
    census.reset([])
    assert census.all() == ()
    census.put(pod({"terminated": ENDED}))
    census.remove(pod({"terminated": ENDED}))
    [ghost] = census.all()
    assert ghost.pod.deaths == (Death("u1", "containerd://old"),)
    assert ghost.pod.address is None and ghost.pod.terminating


def test_another_uid_under_the_name_inherits_no_death() -> None:
    census = Census(ROLE)
    census.reset([pod({"terminated": ENDED})])
    census.put(pod(RUNNING, uid="u2"))
    by_uid = {seen.pod.uid: seen.pod.deaths for seen in census.all()}
    assert by_uid == {"u1": (Death("u1", "containerd://old"),), "u2": ()}
