"""The playbook: what it says before, what it makes, and that it makes nothing twice (issue: provisioning)."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.cluster.stage import Play, Stage

PROCESSES = ("-e", f"ansible_python_interpreter={Path(sys.executable).parent / 'python'}")
"""The same interpreter under another name, which the play takes for another one: modules run as processes of it."""
ROW = re.compile(r'^\s*"created (\S+) (\S+)",?$', re.MULTILINE)


def created_names(play: Play) -> set[tuple[str, str]]:
    return set(ROW.findall(play.text))


def test_the_plan_lists_what_the_run_creates_and_creates_nothing(
    stage: Stage, plan: Play, left_by_plan: set[tuple[str, str]], created: Play
) -> None:
    assert plan.code == 0, plan.text
    assert left_by_plan == set()
    planned, made = created_names(plan), created_names(created)
    assert len(made) > 20, created.text
    assert planned == made
    assert made <= stage.names()


@pytest.mark.parametrize("ways", [(), PROCESSES], ids=["in the play", "in processes"])
def test_a_second_run_changes_nothing(cluster: Stage, ways: tuple[str, ...]) -> None:
    before = cluster.versions()
    play = cluster.play("site", *ways)
    assert play.code == 0, play.text
    assert play.changed == 0, play.text
    assert cluster.versions() == before


def test_a_field_edited_by_hand_is_named_and_restored(cluster: Stage) -> None:
    kubectl = cluster.cluster
    patch = '{"spec":{"ports":[{"name":"postgres","port":5432,"targetPort":6543}]}}'
    kubectl_patch = (*kubectl.kubectl, "patch", "service", "demo-replicas", "-p", patch)
    from pgherd_lab.demo.console import output

    output(kubectl_patch)
    play = cluster.play("site", "--diff")
    assert play.changed == 1, play.text
    assert "targetPort" in play.text
    port = kubectl.get("service", "demo-replicas")["spec"]["ports"][0]
    assert port["targetPort"] == "postgres"
    assert cluster.play("site").changed == 0


def test_no_secret_is_printed(cluster: Stage, plan: Play, created: Play) -> None:
    import base64

    secret = cluster.cluster.get("secret", "demo-pguser-demo")["data"]
    password = base64.b64decode(secret["password"]).decode()
    shown = [cluster.play("site", "--diff", "-vvv", *ways) for ways in ((), PROCESSES)]
    for play in (plan, created, *shown):
        assert password not in play.text
        assert secret["password"] not in play.text
        assert "PRIVATE KEY" not in play.text
