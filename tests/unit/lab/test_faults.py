"""Whom a fault hits, and what it cuts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pgherd_lab import links, pod_faults, signals
from pgherd_lab.faults import Effect
from pgherd_lab.paths import Layout, name_of

NODES = ("node1", "node2", "node3")


@pytest.mark.parametrize(
    ("words", "agent"),
    [
        (["python3", "-m", "pgherd.runtime"], True),
        (["/opt/pgherd/bin/python3", "-I", "-m", "pgherd.runtime", "--socket", "3"], True),
        (["python3", "-m", "pgherd.fence"], False),
        (["sh", "-c", "python3 -m pgherd.runtime"], False),
        (["pgherd", "list"], False),
        ([], False),
    ],
)
def test_the_agent_is_told_from_the_fence(words: list[str], agent: bool) -> None:
    assert pod_faults.is_agent(words) is agent


def test_postgres_is_told_by_name_or_title() -> None:
    assert pod_faults.is_postgres(["/usr/lib/postgresql/17/bin/postgres", "-D", "/data"], "postgres")
    assert pod_faults.is_postgres(["postgres: demo: walwriter "], "postgres")
    assert not pod_faults.is_postgres(["python3", "-m", "pgherd.runtime"], "python3")


def test_a_cut_from_the_api_leaves_names_and_other_nodes() -> None:
    rules = links.ruleset("node1", NODES, "api")
    assert "ip daddr 10.250.0.1 meta l4proto tcp counter drop" in rules
    assert "10.250.0.12" not in rules


def test_a_cut_from_nodes_spares_the_node_itself_and_the_api() -> None:
    rules = links.ruleset("node1", NODES, "nodes")
    assert "{ 10.250.0.12, 10.244.2.0/24, 10.250.0.13, 10.244.3.0/24 }" in rules
    assert "10.244.1.0/24" not in rules and "10.250.0.1 " not in rules


def test_a_thinned_link_loses_by_chance() -> None:
    rules = links.ruleset("node1", NODES, "api", loss=30)
    assert "ip daddr 10.250.0.1 meta l4proto tcp numgen random mod 100 < 30 counter drop" in rules
    assert "numgen" not in links.ruleset("node1", NODES, "api")


def test_a_cut_cable_has_no_impossible_rule() -> None:
    rules = links.ruleset("node1", NODES, "all")
    chains = rules.split("chain ")[1:]
    assert "oifname" not in chains[0] and "iifname" not in chains[1]
    assert "oifname" in chains[2] and "iifname" in chains[2]


def test_an_effect_is_one_line_or_one_object() -> None:
    effect = Effect("freeze-agent", "demo-0", "agent of demo-0: pid 7, State: T (stopped)", 5.0, {"pids": [7]})
    assert "\n" not in effect.text
    assert json.loads(effect.json()) == {
        "fault": "freeze-agent", "subject": "demo-0", "text": effect.text, "at": 5.0, "pids": [7],
    }  # fmt: skip


@pytest.fixture
def sleeper() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as child:
        yield child.pid
        child.kill()


def test_a_frozen_process_is_proved_frozen_and_thaws(sleeper: int) -> None:
    assert signals.freeze(lambda: [sleeper]) == [sleeper]
    assert signals.state_line(sleeper) == "State: T (stopped)"
    assert signals.thaw(lambda: [sleeper]) == [sleeper]
    assert not signals.stopped(sleeper)
    assert signals.thaw(lambda: [sleeper]) == []


def test_a_killed_process_is_proved_gone(sleeper: int) -> None:
    signals.kill([sleeper])
    assert not signals.alive(sleeper)


def test_two_labs_have_two_names(tmp_path_factory: pytest.TempPathFactory) -> None:
    first, second = tmp_path_factory.mktemp("a"), tmp_path_factory.mktemp("b")
    assert name_of(first) != name_of(second)
    assert Layout(first).name == name_of(first)
    assert len(Layout(first).node_namespace("node1")) < 32
