"""One cluster `demo` for all cluster tests, made by the playbook from the demo's inventory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from pgherd_lab.demo import objects
from pgherd_lab.demo.cluster import settled
from tests import lab
from tests.cluster import account
from tests.cluster.stage import Play, Stage, eventually


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The lab (its own if the runner did not hand one over) with an empty namespace, and the account of the plays."""
    if not (os.environ.get("PGHERD_KUBECONFIG") and os.environ.get("PGHERD_IMAGE")):
        os.environ.update(lab.start())
        own = True
    else:
        own = False
    stage = Stage(os.environ["PGHERD_KUBECONFIG"], os.environ["PGHERD_IMAGE"])
    stage.cluster.apply(objects.namespace())
    folder = tmp_path_factory.mktemp("account")
    yield replace(stage, access=account.made(stage.kubectl, stage.kubeconfig, stage.namespace, folder))
    if own:
        lab.stop()


@pytest.fixture(scope="session")
def plan(stage: Stage) -> Play:
    """`--check --diff` before anything exists."""
    return stage.play("site", "--check", "--diff")


@pytest.fixture(scope="session")
def left_by_plan(stage: Stage, plan: Play) -> set[tuple[str, str]]:
    """Objects of the cluster that exist after the plan."""
    return stage.names()


@pytest.fixture(scope="session")
def created(stage: Stage, left_by_plan: set[tuple[str, str]]) -> Play:
    """The first run, after the plan."""
    play = stage.play("site")
    assert play.code == 0, play.text
    return play


@pytest.fixture(scope="session")
def cluster(stage: Stage, created: Play) -> Stage:
    """The running cluster: one leader, two streaming replicas."""
    eventually("one leader and two streaming replicas", lambda: settled(stage.cluster), 180)
    return stage
