"""The story of a standby cluster beside the faults: its remote primary fails over, is away, and the cluster is promoted
and demoted by its configuration at any moment, in the middle of a failover, too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.simulation.cluster import Cluster

if TYPE_CHECKING:
    from tests.simulation.faults import Faults

BEGIN, END = 1.0, 60.0
"""Virtual seconds between which something happens."""


def plan(cluster: Cluster, faults: Faults, happened: list[str]) -> None:
    world = cluster.world

    def remote() -> None:
        say(cluster, happened, cluster.remote.strike())

    def turn() -> None:
        say(cluster, happened, turned(cluster, faults))

    for _ in range(world.random.randint(0, 3)):
        world.at(world.between(BEGIN, END), remote)
    for _ in range(world.random.choice([0, 1, 1, 2, 2, 3])):
        world.at(world.between(BEGIN, END), turn)


def say(cluster: Cluster, happened: list[str], text: str) -> None:
    cluster.world.say("REMOTE", text)
    happened.append(f"{cluster.world.now:.1f} s: {text}")


def turned(cluster: Cluster, faults: Faults) -> str:
    """Promoted, or demoted: the other way round than it is."""
    cluster.configured.standby = not cluster.configured.standby
    cluster.checks.configured_since = cluster.world.now
    if not faults.configure():
        cluster.configured.standby = not cluster.configured.standby
        return "nothing: the configuration object is gone"
    if not cluster.configured.standby:
        return "standby_cluster is taken away: the cluster is to be promoted"
    return f"standby_cluster is configured: {took_over(cluster)}"


def took_over(cluster: Cluster) -> str:
    """What the other cluster has become by then: the primary of the same line, or one that knows nothing of it."""
    world, remote = cluster.world, cluster.remote
    written = [member.volume.data for member in cluster.members.values() if member.volume.data is not None]
    if written and world.chance(0.7):
        newest = max(written, key=lambda data: data.position)
        lost = world.random.choice([0, 0, world.random.randrange(0, 4000)])
        at = max(newest.branch.begin, newest.lsn - lost)
        same = replace(newest, lsn=at).promoted(newest.branch.timeline + 1, cluster.next_branch())
        remote.data = replace(same, incarnation="remote")
        return f"the remote primary went on where this cluster was, without its last {newest.lsn - at} bytes"
    return "the remote primary went its own way all the time"
