"""Faults that deceive: a pod's status that lies, clocks that stood still or change pace, a copy that is not the one
that was recorded, a standby that streams and gets nothing, a promotion that takes long."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.simulation.fence import LOOK, STEP
from tests.simulation.pods import Lie
from tests.simulation.world import API

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster
    from tests.simulation.member import Container, Member

DRIFT = 0.01
"""How far a clock may run from true time, each way."""


def lie_about(cluster: Cluster, member: Member, length: float) -> str:
    """The container lives: nobody may take this for a death."""
    lie = cluster.world.random.choice(list(Lie))
    shown = member.shown
    shown.lie = lie
    cluster.show_pods()

    def truth() -> None:
        shown.lie = None
        cluster.show_pods()

    cluster.world.after(length, truth)
    return f"the status of {member.name} says for {length:.1f} s: {lie.value}"


def migrate(cluster: Cluster, member: Member, length: float) -> str:
    """The machine stands still, boot-time clock included: its deadline is late by that much (the exception of S1).

    Where its wall clock is put right its fence notices with its next look, else the agent at its next contact, at the
    latest the deadline.
    """
    world, container = cluster.world, member.container
    length = max(length, 1.5)  # what is shorter than the margin is covered by the margin
    noticed = world.chance(0.5)
    if container is not None and not container.frozen:
        container.frozen = True
        world.after(length, lambda: _resume(container, length, noticed))
    return f"the machine of {member.name} is moved for {length:.1f} s, its wall clock {'steps' if noticed else 'stays'}"


def _resume(container: Container, length: float, noticed: bool) -> None:
    world, clock, fence = container.world, container.clock, container.fence
    clock.stood_still(length, wall=not noticed)
    container.frozen, container.awake = False, clock()
    latest = clock.when(fence.deadline) + 2 * STEP if fence.deadline > 0 else 0.0
    container.exempt_until = min(latest, world.now + STEP + LOOK) if noticed else latest
    container.exempt_until = max(container.exempt_until, world.now + STEP)
    fence.look_at(fence.deadline)
    if noticed:
        fence.clock_stepped(length)


def drift(cluster: Cluster, member: Member) -> str:
    """A clock changes its pace, within what the margin allows for."""
    rate = cluster.world.between(1 - DRIFT, 1 + DRIFT)
    member.clock.at_rate(rate)
    if member.container is not None:
        member.container.fence.look_at(member.container.fence.deadline)
    return f"the clock of {member.name} runs at {rate:.4f} from now on"


def replace_copy(cluster: Cluster, leader: Member, length: float) -> str:
    """A replica comes back with another copy while its leader cannot record that, and then says nothing any more: who
    has that copy is no candidate."""
    world = cluster.world
    others = [each for each in cluster.members.values() if each is not leader and each.volume.data and each.container]
    if not others or leader.volume.data is None:
        return "nothing: there is no other copy"
    member, length = world.random.choice(others), max(length, 12.0)
    cluster.cut({(leader.name, API), (API, leader.name)}, length)
    silence = {(leader.name, name) for name in cluster.names} | {(name, leader.name) for name in cluster.names}
    world.after(world.between(5.0, 9.0), lambda: cluster.cut(silence, length))
    if member.container is not None:
        member.container_ended(member.container)
    member.volume.data = None
    shutil.rmtree(member.folder / "state", ignore_errors=True)
    return (
        f"{leader.name} and the API are cut for {length:.1f} s while {member.name} loses its volume, then all is silent"
    )


def fill(cluster: Cluster, member: Member, length: float) -> str:
    """The volume is full: nothing is written any more, and PostgreSQL panics, or not."""
    world = cluster.world
    member.full_until = max(member.full_until, world.now + 2 * length)
    if world.chance(0.5) and member.container is not None:
        world.after(world.between(0.0, length), member.container.fence.postmaster_died)
    return f"the volume of {member.name} is full for {2 * length:.1f} s"


def slow_stream(cluster: Cluster, member: Member, length: float) -> str:
    """It streams, and nothing comes."""
    member.slow_until = max(member.slow_until, cluster.world.now + length)
    return f"no WAL comes to {member.name} for {length:.1f} s"
