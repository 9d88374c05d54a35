"""The primary that a standby cluster follows: another cluster's, of which only the line and whether it answers count.

Like the clusters under test it may lose its last commits to a failover of its own, and go on from an earlier place.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pgherd.model.standby import RemoteLine
from tests.simulation.database import Branch, Data

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

HOST = "remote.example"
SYSTEM = "9000"


class Remote:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._world = cluster, cluster.world
        self.up = cluster.configured.standby
        self.recovery = False
        """It is a standby itself, of the cluster under test."""
        branch = Branch(cluster.next_branch(), 1, 0)
        self.data = Data(SYSTEM, (branch,), 1000, "remote", True)

    def tick(self) -> None:
        if self.up and not self.recovery:
            self.data = replace(self.data, lsn=self.data.lsn + self._world.random.randrange(0, 2000))
        if self.up and self.recovery:
            self._follow()

    def _follow(self) -> None:
        """Whoever accepts writes in the cluster under test."""
        for container in self._cluster.containers():
            instance, data = container.fence.instance, container.volume.data
            if instance is not None and instance.accepts_writes and data is not None and not container.frozen:
                own = self.data
                self.data = (
                    replace(own, line=data.line, lsn=max(own.lsn, data.lsn)) if own.may_stream_from(data) else own
                )

    def line(self) -> RemoteLine:
        data = self.data
        return RemoteLine(data.system, data.branch.timeline, data.history, data.lsn, self.recovery)

    def away(self, length: float) -> str:
        self.up = False
        self._world.after(length, self.back)
        return f"the remote primary does not answer for {length:.1f} s"

    def back(self) -> None:
        self.up = True

    def fail_over(self, lost: int) -> str:
        """Another of its members goes on, without the last bytes; numbers are taken as that cluster knows them."""
        data = self.data
        begin = max(data.branch.begin, data.lsn - lost)
        self.data = replace(data, lsn=begin).promoted(data.branch.timeline + 1, self._cluster.next_branch())
        return f"the remote primary fails over and loses {data.lsn - begin} bytes"

    def strike(self) -> str:
        world = self._world
        if world.chance(0.5):
            return self.away(world.between(0.5, 20.0))
        return self.fail_over(world.random.choice([0, 0, world.random.randrange(0, 6000)]))
