"""In which order members are restarted, replaced and removed, and what a rollout waits for: one look, one plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.pgherd.postgres.plugins.module_utils.rollout_plan import (
    FIGURES,
    Cluster,
    Member,
    Plan,
    Synchronous,
    plan,
)

A, B, C = "demo-a-0", "demo-b-0", "demo-c-0"
SHRINK = {"max_connections": ("100", "50")}
RAISE = {"max_connections": ("50", "100")}
BUFFERS: dict[str, Any] = {"shared_buffers": ()}


def cluster(changes: dict[str, dict[str, Any]] | None = None, **more: Any) -> Cluster:
    """Three healthy members, A leads; `changes` by the last letter's member."""
    given = changes or {}
    members = [Member(f"demo-{each}-0", **given.get(each, {})) for each in "abc"]
    members += [Member(f"demo-{each}-0", **fields) for each, fields in given.items() if each not in "abc"]
    usual: dict[str, Any] = {"leader": A, "last_leader": A, "candidates": (B, C)}
    return Cluster("demo", tuple(members), **{**usual, **more})


def single(**fields: Any) -> Cluster:
    return Cluster("demo", (Member(A, **fields),), leader=A, last_leader=A)


def said(found: Plan) -> list[str]:
    return [f"{each.kind} {' '.join(name.split('-')[1] for name in each.members)}" for each in found.steps]


OLD = {"outdated": True}
PENDING = {"pending": BUFFERS}
ALL = dict.fromkeys("abc", OLD)
GONE = {"ready": False, "streaming": False, "state": "no pod", "present": False, "running": False}
DOWN = {"ready": False, "streaming": False, "state": "ImagePullBackOff"}

CASES: dict[str, tuple[Cluster, list[str]]] = {
    "nothing": (cluster(), []),
    "a template": (cluster(ALL), ["replace b", "replace c", "switchover a b", "replace a"]),
    "a template, half done": (cluster({"a": OLD, "c": OLD}), ["replace c", "switchover a b", "replace a"]),
    "after the switchover": (cluster({"a": OLD}, leader=B, candidates=(A, C)), ["replace a"]),
    "a parameter": (
        cluster(dict.fromkeys("abc", PENDING)),
        ["restart b", "restart c", "switchover a b"],
    ),
    "a parameter and a template": (
        cluster({each: {**OLD, **PENDING} for each in "abc"}),
        ["replace b", "replace c", "switchover a b", "replace a"],
    ),
    "a parameter that shrinks": (
        cluster({each: {"pending": SHRINK} for each in "abc"}),
        ["restart a", "restart b", "restart c"],
    ),
    "one that shrinks and another": (
        cluster({each: {"pending": {**SHRINK, **BUFFERS}} for each in "abc"}),
        ["restart a", "restart b", "restart c", "switchover a b"],
    ),
    "one that shrinks, and its primary is taken out": (
        cluster({"a": {"pending": SHRINK, "declared": False}, **{each: {"pending": SHRINK} for each in "bc"}}),
        ["switchover a b", "remove a"],
    ),
    "one that shrinks in a standby cluster: it is held up by the remote primary": (
        cluster({each: {"pending": SHRINK} for each in "abc"}, follows=True),
        [],
    ),
    "one that grows in a standby cluster": (
        cluster({each: {"pending": RAISE} for each in "abc"}, follows=True),
        ["restart b", "restart c", "switchover a b"],
    ),
    "one that is raised while the others leave: they would hold it back": (
        cluster({"a": {"pending": RAISE}, "b": {"declared": False}, "c": {"declared": False}}),
        ["remove b", "remove c", "restart a"],
    ),
    "another parameter while the others leave": (
        cluster({"a": PENDING, "b": {"declared": False}, "c": {"declared": False}}),
        ["restart a", "remove b", "remove c"],
    ),
    "one that is raised": (
        cluster({each: {"pending": RAISE} for each in "abc"}),
        ["restart b", "restart c", "switchover a b"],
    ),
    "the synchronous standby last": (
        cluster(ALL, synchronous=Synchronous(1, True, (B,))),
        ["replace c", "replace b", "switchover a b", "replace a"],
    ),
    "who never leads is no target": (
        cluster({**ALL, "b": {**OLD, "may_lead": False}}, candidates=(C,)),
        ["replace b", "replace c", "switchover a c", "replace a"],
    ),
    "one member alone": (single(outdated=True), ["replace a"]),
    "one member alone, a parameter": (single(pending=BUFFERS), ["restart a"]),
    "a replica taken out": (cluster({"c": {"declared": False}}), ["remove c"]),
    "the leader taken out": (cluster({"a": {"declared": False}}), ["switchover a b", "remove a"]),
    "a set replaced by another": (
        cluster({"a": {"declared": False}, "b": {"declared": False}, "c": {"declared": False}, "d": {}},
                candidates=(B, C, "demo-d-0")),
        ["switchover a d", "remove a", "remove b", "remove c"],
    ),
    "who is taken out is not updated": (
        cluster({**ALL, "c": {"declared": False, **OLD}}),
        ["replace b", "switchover a b", "replace a", "remove c"],
    ),
    "settings": (
        cluster({"b": {"settled": False, "told": False}, "c": {"settled": False, "told": False}}),
        ["settings b c"],
    ),
    "a broken member of an earlier template": (
        cluster({**ALL, "c": {**OLD, **DOWN}}),
        ["replace c", "replace b", "switchover a b", "replace a"],
    ),
    "a volume that grows at a start": (
        cluster({"b": {"resizing": "offline", "resized_by_start": True}}),
        ["replace b"],
    ),
    "a cluster to be started": (
        cluster({each: {**DOWN, "running": False, "present": False} for each in "abc"}, leader="", candidates=()),
        ["start a", "start b c"],
    ),
    "one more member to be started": (
        cluster({"c": {**DOWN, "running": False, "present": False}}),
        ["start c"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_order_is(name: str) -> None:
    look, steps = CASES[name]
    assert said(plan(look)) == steps


@pytest.mark.parametrize("name", CASES)
def test_what_can_begin_begins(name: str) -> None:
    look, steps = CASES[name]
    found = plan(look)
    assert found.refusals == ()
    if steps and not found.waits:
        assert found.next == found.steps[0]
    assert found.done is (not steps)


@pytest.mark.parametrize("name", [name for name, (look, _) in CASES.items() if len(look.members) > 1])
def test_writes_wait_for_one_switchover_at_most_unless_a_limit_shrinks(name: str) -> None:
    """A parameter of which standbys need as much as the primary costs a restart of it, which nobody can take over."""
    look, _ = CASES[name]
    if sum(member.declared for member in look.members) == 1:
        return  # nobody can take over from it: see below
    spent = [step.seconds for step in plan(look).steps if step.seconds]
    shrinks = any(member.shrinks() for member in look.members)
    assert len(spent) <= (2 if shrinks else 1)
    if not shrinks:
        assert sum(filter(None, spent)) <= FIGURES["switchover"]


@pytest.mark.parametrize("shared", [True, False])
def test_a_member_alone_is_interrupted_and_the_plan_says_so(shared: bool) -> None:
    found = plan(single(outdated=not shared, pending=BUFFERS if shared else {}))
    assert found.steps[0].seconds == FIGURES["restart" if shared else "replace"]


ENDING = {**DOWN, "terminating": True, "state": "terminating"}


@pytest.mark.parametrize("why", [OLD, PENDING, {"resizing": "offline", "resized_by_start": True}, {**OLD, **PENDING}])
@pytest.mark.parametrize("look", [cluster, single])
def test_a_pod_that_is_being_deleted_gets_no_step_and_is_waited_for(why: dict[str, Any], look: Any) -> None:
    changes = {**why, **ENDING, "told": False}
    found = plan(look({"b": changes}, candidates=(C,)) if look is cluster else look(**changes))
    assert (found.steps, found.done) == ((), False)
    assert found.waits == (f"{B if look is cluster else A} is terminating",)


def test_where_nobody_waits_for_it_a_pod_that_is_being_deleted_holds_nothing_up() -> None:
    """Such as one of a node that is down, of a cluster of which nothing else is asked."""
    assert plan(cluster({"b": ENDING}, candidates=(C,))).done


def test_nobody_else_is_disturbed_while_a_pod_is_being_deleted() -> None:
    found = plan(cluster({"a": OLD, "b": {**OLD, **ENDING}, "c": {**OLD, **DOWN}}, candidates=()))
    assert said(found) == ["replace c", "switchover a b", "replace a"]
    assert found.next is None and f"{B} is terminating" in found.waits


def test_who_is_being_deleted_comes_back_and_can_be_handed_over_to() -> None:
    look = Cluster("demo", (Member(A, **OLD), Member(B, **ENDING)), leader=A, last_leader=A)  # type: ignore[arg-type]
    assert said(plan(look)) == ["switchover a b", "replace a"]


def test_one_that_is_taken_out_is_removed_although_its_pod_does_not_end() -> None:
    found = plan(cluster({"c": {**ENDING, "declared": False}}, candidates=(B,)))
    assert found.next is not None and said(found) == ["remove c"]


WAITS: dict[str, tuple[Cluster, str]] = {
    "a member that is down": (cluster({**ALL, "c": DOWN}), f"{C} is not ready (ImagePullBackOff)"),
    "a member that does not stream": (cluster({**ALL, "c": {"streaming": False}}), f"{C} does not stream"),
    "a member that may not take over": (cluster(ALL, candidates=(B,)), f"{C} may not take over yet"),
    "nobody leads": (cluster(ALL, leader=""), "no member leads"),
    "a request": (cluster(ALL, requests=("restart x is running",)), "restart x is running"),
    "the synchronous set": (cluster(ALL, synchronous=Synchronous(1)), "the synchronous set lacks 1 of 1"),
    "the configuration": (cluster({"b": {"configured": False}}), f"{B} does not have the configuration in force"),
    "the settings": (cluster({"b": {"settled": False}}), f"{B} has not read the static settings"),
    "the template": (cluster({"b": {"template_seen": False}}), "Kubernetes has not counted the newest template of"),
    "a volume": (cluster({"b": {"resizing": "Resizing"}}), f"the volume of {B} is not as large as declared yet"),
}  # fmt: skip


@pytest.mark.parametrize("name", WAITS)
def test_it_waits_for(name: str) -> None:
    look, sentence = WAITS[name]
    found = plan(look)
    assert any(each.startswith(sentence) for each in found.waits), found.waits
    assert found.next is None
    assert not found.done


def test_a_cluster_that_is_merely_not_ready_is_none_of_its_business() -> None:
    """A new cluster's members are waited for elsewhere; without a step nothing has to be well."""
    assert plan(cluster(dict.fromkeys("abc", DOWN), leader="", candidates=())).done


def test_a_bad_image_stops_at_the_first_replica_and_the_primary_is_untouched() -> None:
    found = plan(cluster({"a": OLD, "b": DOWN, "c": OLD}, candidates=(C,)))
    assert found.next is None
    assert f"{B} is not ready (ImagePullBackOff)" in found.waits
    assert said(found)[-2:] == ["switchover a b", "replace a"] or said(found)[-2:] == ["switchover a c", "replace a"]


def test_a_good_image_after_a_bad_one_heals_the_broken_replica_first() -> None:
    """And does not wait for what it is about to repair."""
    found = plan(cluster({"a": OLD, "b": {**OLD, **DOWN}, "c": OLD}, candidates=(C,)))
    assert found.next is not None
    assert (found.next.kind, found.next.members) == ("replace", (B,))


def test_no_second_member_is_taken_down_while_one_that_was_replaced_comes_back() -> None:
    look = cluster({"a": OLD, "b": {**DOWN, "present": False}, "c": {**OLD, "ready": False}}, candidates=())
    assert plan(look).next is None


def test_where_nobody_leads_all_broken_members_are_replaced() -> None:
    look = cluster({"a": {**OLD, **DOWN}, "b": {**OLD, **DOWN}, "c": DOWN}, leader="", candidates=())
    found = plan(look)
    assert found.next is not None and found.next.members == (A,)


def test_a_broken_member_that_is_taken_out_is_removed_although_the_cluster_is_not_well() -> None:
    found = plan(cluster({"c": {**DOWN, "declared": False}}, candidates=(B,)))
    assert found.next is not None and said(found) == ["remove c"]


REFUSALS: dict[str, tuple[Cluster, str]] = {
    "maintenance": (cluster(ALL, paused=True), "in maintenance"),
    "the last leader taken out while it is stopped": (
        cluster({"a": {**GONE, "declared": False}, "b": GONE, "c": GONE}, leader="", candidates=()),
        "declare it again, start the cluster, then take it out",
    ),
    "nobody left to lead": (
        cluster({"a": {"declared": False}, "b": {"may_lead": False}, "c": {"declared": False}}),
        "no declared member may lead",
    ),
    "the last synchronous standby": (
        cluster(
            {"b": {"declared": False}, "c": {"declared": False}}, synchronous=Synchronous(1, True, (B,))
        ),
        "no synchronous standby is left",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_it_refuses(name: str) -> None:
    look, sentence = REFUSALS[name]
    assert sentence in " ".join(plan(look).refusals)


def test_the_last_synchronous_standby_may_go_where_commits_do_not_wait_for_one() -> None:
    look = cluster({"b": {"declared": False}, "c": {"declared": False}}, synchronous=Synchronous(1, False, (B,)))
    assert plan(look).refusals == ()


def test_who_stopped_with_the_cluster_and_is_gone_for_good_is_not_waited_for() -> None:
    """Its StatefulSet was deleted: whoever did that accepted what it alone had."""
    look = Cluster("demo", (Member(B, **GONE), Member(C, **GONE)), last_leader=A)  # type: ignore[arg-type]
    found = plan(look)
    assert found.refusals == () and found.next is not None and said(found) == ["start b c"]


def test_a_configuration_that_is_refused_holds_everything_up_and_is_named() -> None:
    found = plan(cluster({"b": {"refused": "no such library", "configured": False}, "c": PENDING}))
    assert found.next is None
    assert found.refused == (f"{B} refuses the configuration: no such library",)


def gone(look: Cluster, names: tuple[str, ...]) -> Cluster:
    members = tuple(
        replace(each, running=False, present=False) if each.name in names else each for each in look.members
    )
    return replace(look, members=members)


def test_a_shutdown_stops_the_leader_last() -> None:
    look = cluster()
    first = plan(look, shutdown=True)
    assert said(first) == ["stop b c", "stop a"]
    stopping = replace(look, members=tuple(replace(each, running=each.name == A) for each in look.members))
    assert plan(stopping, shutdown=True).next is None
    assert plan(stopping, shutdown=True).waits
    last = plan(gone(look, (B, C)), shutdown=True)
    assert last.next is not None and last.next.members == (A,) and last.next.seconds is None
    assert plan(gone(look, (A, B, C)), shutdown=True).done


def test_where_commits_wait_the_last_standby_stops_with_the_leader() -> None:
    look = cluster(synchronous=Synchronous(1, True, (B,)))
    assert said(plan(look, shutdown=True)) == ["stop c", "stop b a"]


def test_a_leaders_start_comes_before_the_others() -> None:
    look = cluster({each: {**DOWN, "running": False, "present": False} for each in "abc"}, leader="", candidates=())
    started = replace(look, members=tuple(replace(each, running=each.name == A) for each in look.members))
    assert plan(look).next is not None and plan(look).next.members == (A,)  # type: ignore[union-attr]
    assert plan(started).next is None and "no member leads" in plan(started).waits
    leads = replace(
        started, leader=A,
        members=tuple(replace(each, ready=each.name == A, present=each.name == A) for each in started.members),
    )  # fmt: skip
    assert plan(leads).next is not None and plan(leads).next.members == (B, C)  # type: ignore[union-attr]
