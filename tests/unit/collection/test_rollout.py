"""A rollout carried out, on a cluster in memory that follows: in order, cut short anywhere, and never twice."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgherd.postgres.plugins.module_utils.apply import Refused
from ansible_collections.pgherd.postgres.plugins.module_utils.asking import NotDone
from ansible_collections.pgherd.postgres.plugins.module_utils.names import path
from ansible_collections.pgherd.postgres.plugins.module_utils.rollout import Stuck

from .world import BAD, NAMESPACE, World


def sets(replicas: int, storage: str = "1Gi", name: str = "instance1") -> list[dict[str, Any]]:
    return [{"name": name, "replicas": replicas, "storage": storage}]


@pytest.fixture
def world() -> World:
    made = World()
    place = made.declare()
    assert sorted(made.pods()) == sorted(place.members)
    assert made.roll(place) == []
    return made


@pytest.fixture
def names(world: World) -> list[str]:
    """The members' pods, the leader first."""
    others = sorted(name for name in world.pods() if name != world.leader)
    return [world.leader, *others]


TEMPLATE = {"temporary_size": "96Mi"}


def test_a_template_reaches_every_pod_and_the_leader_last(world: World, names: list[str]) -> None:
    old = {name: pod["metadata"]["uid"] for name, pod in world.pods().items()}
    first, second, third = names
    assert world.roll(world.declare(**TEMPLATE)) == [
        f"replace {second}", f"replace {third}", f"switchover {first} {second}", f"replace {first}",
    ]  # fmt: skip
    assert world.last.done
    assert not {pod["metadata"]["uid"] for pod in world.pods().values()} & set(old.values())


@pytest.mark.parametrize("after", range(4))
def test_a_play_that_is_cut_short_is_finished_by_the_next(world: World, names: list[str], after: int) -> None:
    whole = ["replace", "replace", "switchover", "replace"]
    begun = world.roll(world.declare(**TEMPLATE), most=after)
    rest = world.roll(world.declare(**TEMPLATE))
    assert [each.split()[0] for each in (*begun, *rest)] == whole


def test_a_parameter_costs_the_replicas_a_restart_and_the_leader_a_switchover(world: World, names: list[str]) -> None:
    first, second, third = names
    place = world.declare(parameters={"max_connections": 200})
    assert world.roll(place) == [f"restart {second}", f"restart {third}", f"switchover {first} {second}"]
    assert world.last.done and world.roll(place) == []


def test_a_parameter_that_shrinks_begins_with_the_leader(world: World, names: list[str]) -> None:
    first, second, third = names
    place = world.declare(parameters={"max_connections": 50})
    assert world.roll(place) == [f"restart {first}", f"restart {second}", f"restart {third}"]


def test_a_parameter_that_is_reloaded_costs_nothing(world: World) -> None:
    assert world.roll(world.declare(parameters={"work_mem": "8MB"})) == []
    assert world.story == []


def test_a_bad_image_stops_at_the_first_replica_and_a_good_one_goes_on(world: World, names: list[str]) -> None:
    first, second, third = names
    assert world.roll(world.declare(image=BAD)) == [f"replace {second}"]
    assert world.leader == first and not world.last.done
    assert any(second in each for each in world.last.waits)
    good = world.declare(image="registry.example/good:2")
    assert world.roll(good) == [
        f"replace {second}", f"replace {third}", f"switchover {first} {second}", f"replace {first}",
    ]  # fmt: skip


def test_taking_the_bad_image_back_repairs_only_what_is_broken(world: World, names: list[str]) -> None:
    world.roll(world.declare(image=BAD))
    assert world.roll(world.declare()) == [f"replace {names[1]}"]
    assert world.last.done


def test_a_pod_that_is_slow_to_end_is_deleted_once_and_waited_for(world: World, names: list[str]) -> None:
    first, second, third = names
    place = world.declare(**TEMPLATE)
    world.lingering = {second: 3}
    assert world.roll(place) == [f"replace {second}"]
    assert world.last.waits == (f"{second} is terminating",)
    world.settle()
    assert world.roll(place) == []
    world.settle()
    assert world.roll(place) == [f"replace {third}", f"switchover {first} {second}", f"replace {first}"]
    assert world.last.done and world.story.count(f"delete pods {second}") == 1


def test_on_a_node_that_is_down_a_rollout_stops_and_says_which_pod_does_not_end(world: World, names: list[str]) -> None:
    """The kubelet that would end it is gone; whoever knows that the node is off deletes the pod with force."""
    first, second, third = names
    world.lingering = {third: 1000}
    place = world.declare(**TEMPLATE)
    assert world.roll(place) == [f"replace {second}", f"replace {third}"]
    for _attempt in range(3):
        assert world.roll(place) == [] and not world.last.done
        assert world.last.waits == (f"{third} is terminating",)
    assert world.story.count(f"delete pods {third}") == 1 and world.leader == first
    world.lingering[third] = 1
    world.settle()
    assert world.roll(place) == [f"switchover {first} {second}", f"replace {first}"]


@pytest.mark.parametrize("change", [{"parameters": {"max_connections": 200}}, TEMPLATE])
def test_a_request_has_as_long_as_it_is_given_and_is_followed_by_the_next_run(
    world: World, names: list[str], change: dict[str, Any]
) -> None:
    place = world.declare(**change)
    world.roll(place, most=2)
    world.busy = True
    with pytest.raises(NotDone, match=r"^after 0.2 s switchover \w+ is running still"):
        world.step(place, limit=0.2)
    story = list(world.story)
    assert world.step(place).step is None, "it is waited for, and not asked for again"
    assert world.story == story


def test_a_restart_has_as_long_as_it_is_given(world: World) -> None:
    place = world.declare(parameters={"max_connections": 200})
    world.busy = True
    with pytest.raises(NotDone, match=r"^after 0.2 s restart \w+ is running still"):
        world.step(place, limit=0.2)


def test_a_removal_has_as_long_as_it_is_given(world: World, names: list[str]) -> None:
    place = world.declare(instances=sets(2))
    (gone,) = set(names) - set(place.members)
    world.leader = next(iter(place.members))
    world.settle()
    world.lingering = {gone: 1000}
    world.roll(place, most=1)  # the settings
    with pytest.raises(Stuck, match=f"^after 0.2 s pod {gone} is still there"):
        world.step(place, limit=0.2)


def claims(world: World) -> set[str]:
    return {each["metadata"]["name"] for each in world.objects.values() if each["kind"] == "PersistentVolumeClaim"}


def test_fewer_members_keep_their_volumes_and_more_find_them_again(world: World) -> None:
    before, members = claims(world), set(world.pods())
    place = world.declare(instances=sets(2))
    (gone,) = members - set(place.members)
    told = f"settings {' '.join([*place.members, gone])}"
    moved = [] if world.leader != gone else [f"switchover {gone}"]
    steps = world.roll(place)
    assert steps[0] == told and steps[-1] == f"remove {gone}"
    assert [each.split()[0] for each in steps[1:-1]] == [each.split()[0] for each in moved]
    assert set(world.pods()) == set(place.members) and claims(world) == before
    assert path("Secret", NAMESPACE, f"{gone.removesuffix('-0')}-certs") not in world.objects
    again = world.declare()
    assert [each.split()[0] for each in world.roll(again)] == ["settings"]
    assert set(world.pods()) == members and claims(world) == before


@pytest.mark.parametrize("leader", [0, 1, 2])
def test_whoever_leads_is_never_removed(world: World, leader: int) -> None:
    """The world itself refuses a leader's end."""
    world.leader = sorted(world.pods())[leader]
    world.settle()
    place = world.declare(instances=sets(1))
    world.roll(place)
    assert list(world.pods()) == list(place.members) == [world.leader]


def test_one_set_takes_the_place_of_another(world: World) -> None:
    place = world.declare(instances=sets(2, name="other"))
    steps = [each.split()[0] for each in world.roll(place)]
    assert steps == ["settings", "switchover", "remove", "remove", "remove"]
    assert set(world.pods()) == set(place.members) and world.leader in place.members


def test_a_shutdown_stops_the_leader_last_and_a_start_begins_with_it(world: World, names: list[str]) -> None:
    place = world.declare()
    leader = world.leader
    assert world.roll(place, shutdown=True)[-1] == f"stop {leader}"
    assert world.story[-1] == f"stop {leader}" and world.pods() == {}
    assert world.roll(place, shutdown=True) == []
    place = world.declare()  # nothing in the objects starts anybody
    assert world.pods() == {}
    first, second = world.roll(place)
    assert first == f"start {leader}" and set(second.split()) == {"start", *names[1:]}
    assert world.leader == leader and world.roll(place) == []


def test_a_member_alone_is_replaced_although_it_leads() -> None:
    world = World()
    world.declare(instances=sets(1))
    (name,) = world.pods()
    assert world.roll(world.declare(instances=sets(1), **TEMPLATE)) == [f"replace {name}"]


def test_a_volume_never_shrinks(world: World) -> None:
    before = world.versions()
    with pytest.raises(Refused, match=r"storage: volume demo-instance1-\S+ has 1Gi and cannot shrink to 500Mi"):
        world.declare(instances=sets(3, "500Mi"))
    assert world.versions() == before


def test_a_volume_whose_class_does_not_expand_is_refused_before_anything_is_changed(world: World) -> None:
    grown = [{**sets(3, "2Gi")[0], "storage_class": "local"}]
    for each in world.objects.values():
        if each["kind"] == "PersistentVolumeClaim":
            each["spec"]["storageClassName"] = "local"
    world.storage_class = {}
    with pytest.raises(Refused, match=r"StorageClass local does not have allowVolumeExpansion"):
        world.declare(instances=grown, **TEMPLATE)
    world.storage_class = {"allowVolumeExpansion": True}
    world.declare(instances=grown)


def test_a_volume_that_grows_is_waited_for_and_one_that_needs_a_start_gets_it(world: World, names: list[str]) -> None:
    place = world.declare()
    claim = world.objects[path("PersistentVolumeClaim", NAMESPACE, f"{names[1].removesuffix('-0')}-pgdata")]
    claim["spec"]["resources"]["requests"]["storage"] = "2Gi"
    claim["status"] = {"capacity": {"storage": "1Gi"}, "conditions": [{"type": "Resizing", "message": "under way"}]}
    assert world.roll(place) == []
    assert world.last.waits == (f"the volume of {names[1]} is not as large as declared yet (under way)",)
    claim["status"]["conditions"] = [{"type": "FileSystemResizePending", "message": "waiting for a start"}]
    assert world.roll(place, most=1) == [f"replace {names[1]}"]
    claim["status"] = {"capacity": {"storage": "2Gi"}}
    assert world.roll(place) == [] and world.last.done
