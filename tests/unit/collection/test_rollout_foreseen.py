"""What a check run says of a rollout: rows, sums, budgets."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgherd.postgres.plugins.module_utils.checks import Problems
from ansible_collections.pgherd.postgres.plugins.module_utils.configuration import changed_keys
from ansible_collections.pgherd.postgres.plugins.module_utils.rollout_declared import DEFAULTS, rollout
from ansible_collections.pgherd.postgres.plugins.module_utils.rollout_foreseen import (
    RESTART,
    Changes,
    foreseen,
    interruption,
    over_budget,
    rows,
    table,
)
from ansible_collections.pgherd.postgres.plugins.module_utils.rollout_plan import FIGURES, Cluster, Member

A, B = "demo-a-0", "demo-b-0"
PAIR = Cluster("demo", (Member(A), Member(B)), leader=A, last_leader=A, candidates=(B,))
ALONE = Cluster("demo", (Member(A),), leader=A, last_leader=A)


def changed(kind: str, name: str, *fields: str, action: str = "changed") -> dict[str, Any]:
    return {"kind": kind, "name": name, "action": action, "fields": list(fields)}


def parameter(name: str, before: Any, after: Any) -> dict[str, Any]:
    return {"key": f"postgresql.parameters.{name}", "before": before, "after": after}


TEMPLATES = [changed("StatefulSet", f"demo-{each}", "spec.template.spec.containers[0].image") for each in "ab"]
CASES: dict[str, tuple[Cluster, Changes, list[str]]] = {
    "nothing": (PAIR, Changes([changed("Service", "demo-ha", action="unchanged")]), []),
    "an object": (PAIR, Changes([changed("Service", "demo-ha", "spec.type")]), ["nothing"]),
    "a reload": (PAIR, Changes([changed("Endpoints", "demo-ha-config", 'metadata.annotations["config"]')],
                               configuration=[parameter("work_mem", None, "8MB")]), ["reload"]),
    "a restart": (
        PAIR, Changes(configuration=[parameter("shared_buffers", "1GB", "2GB")]), ["restart", "switchover"],
    ),
    "a restart, alone": (ALONE, Changes(configuration=[parameter("shared_buffers", "1GB", "2GB")]), ["restart"]),
    "a limit that shrinks": (
        PAIR, Changes(configuration=[parameter("max_connections", 100, 50)]), ["restart", "restart"],
    ),
    "templates": (PAIR, Changes(TEMPLATES), ["replace", "switchover", "replace"]),
    "a new member": (
        ALONE,
        Changes([changed("StatefulSet", "demo-b", action="created"), changed("ConfigMap", "demo-config", "data.x")]),
        ["nothing", "create", "settings"],
    ),
    "a volume": (PAIR, Changes([changed("PersistentVolumeClaim", "demo-a-pgdata", "spec.resources")]), ["volume"]),
    "a new cluster": (
        Cluster("demo"), Changes([changed("StatefulSet", "demo-a", action="created")]), ["create"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_plan_is(name: str) -> None:
    cluster, changes, kinds = CASES[name]
    assert [step.kind for step in foreseen(cluster, changes).steps] == kinds


def test_a_new_member_copies_the_leaders_data_and_a_new_cluster_copies_nothing() -> None:
    moved = {name: [step.movement for step in foreseen(*CASES[name][:2]).steps if step.kind == "create"]
             for name in ("a new member", "a new cluster")}  # fmt: skip
    assert moved == {"a new member": ["a copy of the leader's data"], "a new cluster": [""]}


def test_a_template_over_a_new_member_hands_over_to_who_is_there() -> None:
    changes = Changes([*TEMPLATES, changed("StatefulSet", "demo-0", action="created")])
    (step,) = [each for each in foreseen(PAIR, changes).steps if each.kind == "switchover"]
    assert step.members == (A, B)


@pytest.mark.parametrize(
    ("budget", "sentence"),
    [
        ({}, None),
        ({"seconds": 1}, None),
        ({"seconds": 0.5}, "writes are expected to wait 0.6 s: seconds allows 0.5 s"),
        ({"kinds": ["replace", "switchover"]}, None),
        ({"kinds": ["replace"]}, f"switchover of {A}, {B}"),
        ({"kinds": []}, "kinds allows only nothing"),
    ],
)
def test_a_budget(budget: dict[str, Any], sentence: str | None) -> None:
    problems = over_budget(foreseen(PAIR, Changes(TEMPLATES)).steps, budget)
    assert problems == [] if sentence is None else sentence in " ".join(problems)


def test_a_shutdown_fits_in_no_number_of_seconds() -> None:
    steps = foreseen(PAIR, Changes(), shutdown=True).steps
    assert interruption(steps) is None
    assert over_budget(steps, {"seconds": 86400}) == [
        "writes are expected to wait until it is started: seconds allows 86400 s"
    ]


def test_a_person_reads_order_cost_and_reason() -> None:
    lines = table("demo", foreseen(PAIR, Changes(TEMPLATES)).steps, ["demo-b-0 is not ready (Pending)"])
    assert lines == [
        "   What        Member                Writes wait  Why",
        "1  replace     demo-b-0              -            its pod is of an earlier template",
        "2  switchover  demo-a-0 -> demo-b-0  0.6 s        its pod is of an earlier template",
        "3  replace     demo-a-0              -            its pod is of an earlier template",
        "demo: writes are expected to wait 0.6 s (documented budgets: docs/rollouts.md)",
        "demo: not before: demo-b-0 is not ready (Pending)",
    ]
    assert table("demo", (), ()) == ["demo: nothing to do"]


def test_a_program_reads_the_same() -> None:
    found = rows(foreseen(ALONE, Changes([TEMPLATES[0]])).steps)
    assert found == [{
        "order": 1, "kind": "replace", "members": [A], "reason": "its pod is of an earlier template",
        "write_seconds": FIGURES["replace"], "data_movement": "",
    }]  # fmt: skip


def test_keys_of_a_configuration_that_differ() -> None:
    before = {"ttl": 10, "postgresql": {"parameters": {"work_mem": "4MB"}, "use_slots": True}, "slots": {"a": {"x": 1}}}
    after = {"ttl": 20, "postgresql": {"parameters": {"max_connections": 50}, "use_slots": True}}
    assert list(changed_keys(before, after)) == [
        {"key": "postgresql.parameters.max_connections", "before": None, "after": 50},
        {"key": "postgresql.parameters.work_mem", "before": "4MB", "after": None},
        {"key": "slots.a.x", "before": 1, "after": None},
        {"key": "ttl", "before": 10, "after": 20},
    ]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"disruption_budget": {"second": 1}}, "postgres_disruption_budget.second=1: no such field; did you mean sec"),
        ({"disruption_budget": {"seconds": -1}}, "postgres_disruption_budget.seconds=-1: must be 0 or more"),
        ({"disruption_budget": {"kinds": ["restarts"]}}, 'postgres_disruption_budget.kinds="restarts": must be one of'),
        ({"disruption_budget": 3}, "postgres_disruption_budget=3: must be a dictionary"),
        ({"shutdown": "perhaps"}, 'postgres_shutdown="perhaps": must be true or false'),
        ({"rollout": 7}, "postgres_rollout=7: must be true or false"),
    ],
)
def test_a_mistake_names_field_value_and_what_is_allowed(changes: dict[str, Any], problem: str) -> None:
    problems = Problems()
    rollout({**DEFAULTS, **{f"postgres_{name}": value for name, value in changes.items()}}, problems)
    assert len(problems.texts) == 1 and problems.texts[0].startswith(problem), problems.texts


def test_names_of_parameters_are_postgresqls() -> None:
    assert all(name == name.lower() and name.isidentifier() for name in RESTART) and "max_connections" in RESTART
