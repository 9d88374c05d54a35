"""One seed: a cluster starts, things happen to it, they stop happening, and it must be well again."""

from __future__ import annotations

import gc
import random
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.simulation import standing_by
from tests.simulation.cluster import TIMINGS, Cluster, Configured
from tests.simulation.faults import Faults
from tests.simulation.world import Violation, World

START, TROUBLE, PEACE = 30.0, 40.0, 240.0
"""Virtual seconds: for the start, during which faults strike, and after the last has healed."""


@dataclass(frozen=True)
class Outcome:
    seed: int
    violation: str | None
    faults: tuple[str, ...]
    seconds: float
    """Virtual time that it took."""
    primaries: int
    synchronous: int
    """Moments at which commits were acknowledged with a synchronous set."""
    story: tuple[str, ...] = ()


def scratch() -> str | None:
    """Memory rather than disk for the agents' small files, where there is such a place."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def run(seed: int, trace: bool = False, standby: bool = False, fault: str = "") -> Outcome:
    """Never raises for a violation: it is the outcome. `standby`: the story of a standby cluster (standing_by.py);
    `fault`: the only kind that strikes."""
    random.seed(seed)  # the pauses of kubernetes.follow
    gc.disable()  # a story is short, and its garbage is collected once, at its end
    world = World(seed, trace)
    folder = Path(tempfile.mkdtemp(prefix="pgherd-simulation-", dir=scratch()))
    size, configured = world.random.choice([1, 2, 3, 3, 3, 4, 5]), Configured(world.random.choice(TIMINGS))
    if world.chance(0.5):
        configured.mode, configured.strict = world.random.choice(["on", "quorum"]), world.chance(0.3)
        configured.count = world.random.choice([1, 1, 2])
    configured.standby, configured.start = standby, 0 if configured.timing[0] < 5 else 20
    cluster = Cluster(world, size, configured, folder)
    faults, happened = Faults(cluster), list[str]()
    faults.only = fault
    if standby:
        standing_by.plan(cluster, faults, happened)
    violation: str | None = None
    try:
        _story(world, cluster, faults, happened)
    except (Violation, AssertionError) as error:
        violation = str(error)
        world.say("CHECK", violation)
    finally:
        for container in cluster.containers():
            container.gone = True
            container.end_agent()
        shutil.rmtree(folder, ignore_errors=True)
        gc.enable()
    return Outcome(
        seed,
        violation,
        tuple(happened),
        world.now,
        cluster.checks.primaries,
        cluster.checks.acknowledged_synchronously,
        tuple(world.events),
    )


def follows_sometimes(cluster: Cluster) -> bool:
    """Whether it ever was a standby cluster."""
    return cluster.remote.up or cluster.configured.standby


def _story(world: World, cluster: Cluster, faults: Faults, happened: list[str]) -> None:
    cluster.start()
    # Trouble during the start; that of a standby cluster has a plan of its own.
    early = world.chance(0.2) or cluster.configured.standby
    if not early:
        world.run(START, cluster.checks.settled)
        if not cluster.checks.settled():
            raise Violation(f"liveness: no cluster {START:g} s after the start")

    def strike() -> None:
        happened.append(f"{world.now:.1f} s: {faults.strike()}")
        if world.chance(0.25):  # while the cluster is busy with this one
            world.after(world.between(0.05, 8.0), strike)

    begin = world.now
    for _ in range(world.random.randint(1, 6)):
        world.at(begin + world.between(0.0, TROUBLE), strike)
    world.run(begin + TROUBLE + 21.0, lambda: False)
    # The leader of standbys may have to wait for two minutes before it is copied anew, and then its standbys, too.
    end = world.now + PEACE * (2 if follows_sometimes(cluster) else 1)
    world.run(end, lambda: faults.person or cluster.checks.settled())
    if faults.person:
        world.run(world.now + 40.0, lambda: False)  # only safety is asked for
    elif not cluster.checks.settled():
        raise Violation(f"liveness: not well {PEACE:g} s after the last fault has healed: {_reasons(cluster)}")


def _reasons(cluster: Cluster) -> str:
    said = []
    for member in cluster.members.values():
        process = member.container.agent if member.container else None
        reason = process.agent.state.reason if process else None
        said.append(f"{member.name} {f'{reason.code}: {reason.text}' if reason else 'has no agent'}")
    return "; ".join(said)
