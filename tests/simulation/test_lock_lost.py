"""A lost lock object, told step by step: what heals at once, what waits for a word, and what nobody believes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pgherd.kubernetes.store import ConfigSeen, LockSeen
from pgherd.model.lease import Lease
from tests.simulation.api import Store
from tests.simulation.cluster import Cluster, Configured
from tests.simulation.member import Container
from tests.simulation.world import API, World

TTL = 10.0


class Stage:
    """Three members that stream; S1 to S8 are checked after every event."""

    def __init__(self, folder: Path) -> None:
        random.seed(5)  # the pauses of kubernetes.follow
        self.world = World(5, trace=True)
        self.cluster = Cluster(self.world, 3, Configured((TTL, 3.0, 3.0)), folder)
        self.cluster.tags = {}  # everybody may lead, and streams from the leader
        self.cluster.start()
        self.until_settled()
        self.leader = self.record.leader or ""

    @property
    def store(self) -> Store:
        return self.cluster.store

    @property
    def record(self) -> Lease:
        assert self.store.lock.value.record is not None
        return self.store.lock.value.record

    def until_settled(self, within: float = 60.0) -> None:
        self.world.run(self.world.now + within, self.cluster.checks.settled)
        assert self.cluster.checks.settled(), "\n".join(self.world.events[-40:])

    def run(self, seconds: float) -> None:
        self.world.run(self.world.now + seconds, lambda: False)

    def delete(self) -> None:
        self.store.next_version()
        self.store.lock.put(LockSeen(None, trouble="the lock object is missing"))

    def play(self) -> None:
        """It makes the missing object, and knows nothing of the past."""
        fresh = Lease(leader=None, epoch=0, ttl=TTL, released=0)
        self.store.lock.put(LockSeen(fresh, self.store.next_version()))

    def edit(self, **changes: object) -> None:
        self.store.lock.put(LockSeen(msgspec.structs.replace(self.record, **changes), self.store.next_version()))

    def container(self, name: str) -> Container:
        container = self.cluster.members[name].container
        assert container is not None
        return container

    def cut(self, member: str, *others: str) -> None:
        self.world.cut |= {(member, other) for other in others} | {(other, member) for other in others}

    def writes(self) -> int:
        """Which start of the leader's PostgreSQL accepts writes; 0 for none."""
        instance = self.container(self.leader).fence.instance
        return instance.number if instance is not None and instance.accepts_writes else 0


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    for container in made.cluster.containers():
        container.gone = True
        container.end_agent()


@pytest.mark.parametrize("harm", ["deleted", "deleted and made anew", "transitions", "leader", "holder", "old copy"])
def test_the_living_holder_heals_it_and_its_postgresql_never_stops(stage: Stage, harm: str) -> None:
    before, epoch = stage.writes(), stage.record.epoch
    if harm.startswith("deleted"):
        stage.delete()
        if harm.endswith("anew"):
            stage.play()
    elif harm == "transitions":
        stage.edit(epoch=epoch - 1)
    elif harm == "old copy":
        stage.store.lock.put(LockSeen(stage.store.copies[0], stage.store.next_version()))
    else:
        stage.edit(**{harm: None})
    stage.run(2.0)  # of a missing name alone the others are the first to take care: the nonce stays its holder's
    assert (stage.record.leader, stage.writes(), before > 0) == (stage.leader, before, True)
    assert stage.record.epoch == epoch + 1
    stage.run(2 * TTL)
    stage.until_settled()
    assert (stage.record.leader, stage.writes()) == (stage.leader, before)


def test_what_only_the_others_saw_go_wrong_costs_the_holder_nothing(stage: Stage) -> None:
    """They wait for a new epoch before they believe the object again, and give it one."""
    before, record = stage.writes(), stage.record
    stage.cut(stage.leader, API)
    stage.edit(epoch=0)
    stage.run(0.2)
    stage.store.lock.put(LockSeen(record, stage.store.next_version()))
    stage.world.cut.clear()
    stage.run(TTL)
    stage.until_settled()
    assert (stage.record.leader, stage.writes()) == (stage.leader, before)
    stage.cluster.members[stage.leader].container_ended(stage.container(stage.leader), report=False)
    stage.run(2 * TTL)
    assert stage.record.leader != stage.leader  # they take over as ever


def test_a_cluster_is_made_anew_on_its_old_volumes(stage: Stage) -> None:
    """All its objects were deleted; the volumes know the lease and whose data they have."""
    stage.delete()
    fresh = ConfigSeen(version=stage.store.next_version(), config=stage.store.config)
    stage.store.configuration.put(fresh)
    for container in stage.cluster.containers():
        stage.cluster.members[container.member.name].container_ended(container)
    stage.play()
    stage.run(0.1)
    stage.until_settled(90.0)
    assert stage.record.epoch >= 2 and stage.store.configuration.value.initialize == stage.cluster.checks.system


def test_a_holder_that_cannot_reach_the_api_is_waited_out(stage: Stage) -> None:
    """Its word says what it saw, and nobody takes the lease before its PostgreSQL is dead (S1)."""
    stage.cut(stage.leader, API)
    stage.delete()
    stage.run(TTL - 3.0)  # it may have been about to renew
    assert stage.record.leader == stage.leader and stage.record.nonce != "" and stage.record.address is not None
    stage.run(2 * TTL)
    assert stage.record.leader not in (None, stage.leader) and stage.writes() == 0


@pytest.mark.parametrize("anew", [False, True])
def test_with_a_silent_holder_nobody_goes_on(stage: Stage, anew: bool) -> None:
    others = [name for name in stage.cluster.names if name != stage.leader]
    stage.cut(stage.leader, API, *others)
    stage.delete()
    if anew:
        stage.play()
    stage.run(6 * TTL)
    assert stage.store.lock.value.record is None or stage.record.epoch == 0
    assert not any(instance.accepts_writes for name in others if (instance := stage.container(name).fence.instance))
    stage.world.cut.clear()
    stage.until_settled()
    assert stage.record.epoch >= 3  # restored, then taken


def test_every_volume_has_the_newest_record(stage: Stage) -> None:
    stage.run(10.0)
    for member in stage.cluster.members.values():
        seen = member.remembers()
        assert seen is not None and seen.record is not None
        assert (seen.epoch, seen.record.candidates) == (stage.record.epoch, stage.record.candidates)
        assert seen.record.renew_time == ""  # a restarted observer counts anew


def test_the_whole_cluster_is_restarted_without_its_lock(stage: Stage) -> None:
    """Only the volumes know."""
    stage.delete()
    for container in stage.cluster.containers():
        stage.cluster.members[container.member.name].container_ended(container)
    stage.run(0.1)
    stage.until_settled(90.0)
    assert stage.record.epoch >= 2
