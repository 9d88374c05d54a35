"""What a user notices of an API that is away: nothing, as long as every candidate promises; else a stop in time."""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from tests.simulation.cluster import TIMINGS, Cluster, Configured
from tests.simulation.member import Container, Member
from tests.simulation.run import scratch
from tests.simulation.world import API, World

CASES = [(seed, timing) for seed, timing in enumerate(TIMINGS * 3)]
LOOK = 0.05
"""Seconds between two looks at who accepts writes."""


class Stage:
    """A settled cluster with its API about to go away."""

    def __init__(self, seed: int, timing: tuple[float, float, float], size: int, folder: Path) -> None:
        random.seed(seed)  # the pauses of kubernetes.follow
        self.world = World(seed, trace=True)
        self.ttl = timing[0]
        self.cluster = Cluster(self.world, size, Configured(timing), folder)
        self.cluster.tags = {}  # everybody may lead, and streams from the leader
        self.cluster.start()
        self.world.run(30.0, self.settled)
        assert self.settled()
        self.world.run(self.world.now + self.world.between(0.0, 2.0), lambda: False)
        self.world.run(self.world.now + 30.0, lambda: self.settled() and len(self.record.candidates) == size - 1)
        self.leader = self.cluster.members[self.record.leader or ""]
        self.others = [member for member in self.cluster.members.values() if member is not self.leader]
        self.epoch = self.record.epoch

    @property
    def record(self):  # type: ignore[no-untyped-def]
        return self.cluster.store.lock.value.record

    def settled(self) -> bool:
        return self.cluster.checks.settled()

    def writes(self, member: Member) -> bool:
        instance = member.container.fence.instance if member.container else None
        return instance is not None and instance.accepts_writes

    def api(self, there: bool) -> None:
        self.cluster.store.weather.down = not there

    def cut(self, one: str, other: str) -> None:
        self.world.cut |= {(one, other), (other, one)}

    def run(self, seconds: float) -> None:
        self.world.run(self.world.now + seconds, lambda: False)

    def keeps_writing(self, seconds: float) -> None:
        """Without a gap."""
        end, instance = self.world.now + seconds, self.instance
        while self.world.now < end:
            self.run(LOOK)
            assert self.writes(self.leader) and self.instance is instance, "\n".join(self.world.events[-40:])

    @property
    def instance(self) -> object:
        assert self.leader.container is not None
        return self.leader.container.fence.instance

    def reason(self, member: Member) -> str:
        container: Container | None = member.container
        assert container is not None and container.agent is not None
        return container.agent.agent.state.reason.code

    def last_round(self) -> float:
        """When the leader's last round began, by its own clock."""
        assert self.leader.container is not None and self.leader.container.agent is not None
        return self.leader.container.agent.agent.state.unpromised.began

    def told(self, member: Member, code: str) -> bool:
        return any(f" {member.name} " in line and f" {code}: " in line for line in self.world.events)

    def end(self) -> None:
        for container in self.cluster.containers():
            container.gone = True
            container.end_agent()


@pytest.fixture
def stage() -> Iterator[Callable[..., Stage]]:
    folders, made = list[str](), list[Stage]()

    def make(seed: int, timing: tuple[float, float, float], size: int = 3) -> Stage:
        folders.append(tempfile.mkdtemp(prefix="pgherd-simulation-", dir=scratch()))
        made.append(Stage(seed, timing, size, Path(folders[-1])))
        return made[-1]

    yield make
    for each in made:
        each.end()
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize(("seed", "timing"), CASES)
def test_the_api_is_away_and_nobody_notices(stage: Callable[..., Stage], seed: int, timing: tuple[float, ...]) -> None:
    it = stage(seed, timing)
    it.api(False)
    it.keeps_writing(6 * it.ttl)
    assert it.reason(it.leader) == "failsafe"
    it.api(True)
    it.keeps_writing(2 * it.ttl)
    assert it.reason(it.leader) == "primary"
    assert (it.record.epoch, it.record.leader) == (it.epoch, it.leader.name) and it.settled()


@pytest.mark.parametrize(("seed", "timing"), CASES)
def test_it_is_away_for_the_leader_alone(stage: Callable[..., Stage], seed: int, timing: tuple[float, ...]) -> None:
    it = stage(seed, timing)
    it.cut(it.leader.name, API)
    it.keeps_writing(6 * it.ttl)
    assert it.record.epoch == it.epoch
    assert all(it.told(member, "promised") for member in it.others)
    it.world.cut.clear()
    it.keeps_writing(2 * it.ttl)
    assert it.record.epoch == it.epoch and it.settled()


@pytest.mark.parametrize(("seed", "timing"), CASES)
def test_a_member_that_was_gone_before_promises_nothing(
    stage: Callable[..., Stage], seed: int, timing: tuple[float, ...]
) -> None:
    it = stage(seed, timing)
    gone = it.others[0]
    gone.node_off = True
    assert gone.container is not None
    gone.container_ended(gone.container, report=False)
    it.world.run(it.world.now + 20.0, lambda: gone.name not in {each.member for each in it.record.candidates})
    it.run(0.2)  # the leader has read that it is so
    it.api(False)
    it.keeps_writing(6 * it.ttl)
    it.api(True)
    it.keeps_writing(2 * it.ttl)
    assert it.record.epoch == it.epoch


@pytest.mark.parametrize(("seed", "timing"), CASES)
def test_a_member_alone_goes_on(stage: Callable[..., Stage], seed: int, timing: tuple[float, ...]) -> None:
    it = stage(seed, timing, size=1)
    it.api(False)
    it.keeps_writing(6 * it.ttl)
    it.api(True)
    it.keeps_writing(2 * it.ttl)
    assert it.record.epoch == it.epoch


@pytest.mark.parametrize("early", [True, False], ids=["before the first round", "later"])
@pytest.mark.parametrize(("seed", "timing"), CASES)
def test_a_candidate_is_cut_off_meanwhile(
    stage: Callable[..., Stage], seed: int, timing: tuple[float, ...], early: bool
) -> None:
    it = stage(seed, timing)
    it.api(False)
    it.keeps_writing(0.0 if early else 2.5 * it.ttl)
    it.cut(it.others[0].name, it.leader.name)
    it.run(it.ttl)  # S1 and S4 are checked at every event
    assert not it.writes(it.leader)
    assert it.told(it.leader, "promise-missing")
    it.run(3 * it.ttl)
    assert not any(it.writes(member) for member in it.cluster.members.values())
    it.api(True)
    it.world.cut.clear()
    it.world.run(it.world.now + 120.0, it.settled)
    assert it.settled()


@pytest.mark.parametrize(("seed", "timing"), [case for case in CASES if case[1][0] > 3.0])
def test_lost_replies_cost_nothing_while_another_round_has_time(
    stage: Callable[..., Stage], seed: int, timing: tuple[float, ...]
) -> None:
    """A ttl of 3 s has time for one round that fails, not for the 1.3 s of this one."""
    it = stage(seed, timing)
    it.api(False)
    it.run(it.ttl)
    it.cluster.peers.lost = 1.0
    it.world.after(1.3, lambda: setattr(it.cluster.peers, "lost", 0.0))
    it.keeps_writing(3 * it.ttl)
    it.api(True)
    it.keeps_writing(2 * it.ttl)
    assert it.record.epoch == it.epoch


@pytest.mark.parametrize(("seed", "timing"), CASES)
def test_a_promiser_s_agent_restarts(stage: Callable[..., Stage], seed: int, timing: tuple[float, ...]) -> None:
    """It has read nothing since, so it cannot take; and once it reads, it waits for longer than it promised."""
    it = stage(seed, timing)
    it.cut(it.leader.name, API)
    it.keeps_writing(2 * it.ttl)
    assert it.others[0].container is not None
    it.others[0].container.end_agent()
    it.keeps_writing(3 * it.ttl)
    assert it.record.epoch == it.epoch


@pytest.mark.parametrize(("seed", "timing"), CASES)
def test_a_promiser_s_agent_restarts_without_the_api(
    stage: Callable[..., Stage], seed: int, timing: tuple[float, ...]
) -> None:
    it = stage(seed, timing)
    it.api(False)
    it.keeps_writing(2 * it.ttl)
    assert it.others[0].container is not None
    it.others[0].container.end_agent()
    it.run(1.0)
    it.keeps_writing(3 * it.ttl)
    it.api(True)
    it.keeps_writing(2 * it.ttl)
    assert it.record.epoch == it.epoch


@pytest.mark.parametrize(("seed", "timing"), CASES)
def test_the_api_comes_back_in_the_middle_of_a_round(
    stage: Callable[..., Stage], seed: int, timing: tuple[float, ...]
) -> None:
    it = stage(seed, timing)
    it.api(False)
    it.keeps_writing(2 * it.ttl)
    it.cluster.peers.slow, it.cluster.peers.when_asked = 0.5, lambda: it.api(True)
    it.keeps_writing(it.ttl)
    assert it.cluster.peers.when_asked is None
    it.cluster.peers.slow = 0.0
    it.keeps_writing(2 * it.ttl)
    assert it.record.epoch == it.epoch and it.settled()


@pytest.mark.parametrize(("seed", "timing"), CASES)
def test_the_leader_s_agent_restarts_and_finds_the_api_again(
    stage: Callable[..., Stage], seed: int, timing: tuple[float, ...]
) -> None:
    """The deadline that promises made stands, although the last renewal is long past."""
    it = stage(seed, timing)
    it.api(False)
    it.keeps_writing(2 * it.ttl)
    before = it.last_round()
    it.world.run(it.world.now + it.ttl, lambda: it.last_round() != before)  # one has just counted
    assert it.leader.container is not None
    it.leader.container.end_agent()
    it.api(True)
    it.keeps_writing(2 * it.ttl)
    assert it.record.epoch == it.epoch and it.settled()


@pytest.mark.parametrize(("seed", "timing"), CASES)
def test_a_postgres_that_dies_meanwhile_starts_again_in_place(
    stage: Callable[..., Stage], seed: int, timing: tuple[float, ...]
) -> None:
    it = stage(seed, timing)
    it.api(False)
    it.keeps_writing(2 * it.ttl)
    assert it.leader.container is not None
    it.leader.container.fence.postmaster_died()
    it.world.run(it.world.now + 1.0, lambda: not it.writes(it.leader))
    assert not it.writes(it.leader)
    it.world.run(it.world.now + 15.0, lambda: it.writes(it.leader))
    it.keeps_writing(2 * it.ttl)
    it.api(True)
    it.keeps_writing(2 * it.ttl)
    assert it.record.epoch == it.epoch


@pytest.mark.parametrize(("seed", "timing"), CASES)
def test_switched_off_the_holder_stops(stage: Callable[..., Stage], seed: int, timing: tuple[float, ...]) -> None:
    it = stage(seed, timing)
    store = it.cluster.store
    off = json.dumps(json.loads(store.config) | {"failsafe_mode": False})
    store.configuration.put(
        msgspec.structs.replace(store.configuration.value, config=off, version=store.next_version())
    )
    it.run(1.0)
    it.api(False)
    it.run(it.ttl)
    assert not it.writes(it.leader)
    assert not it.told(it.leader, "failsafe")
