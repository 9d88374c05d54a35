"""Faults of processes, machines and volumes."""

from __future__ import annotations

import shutil

from tests.simulation.database import Branch, Data
from tests.simulation.means import Means


class Machines(Means):
    """Part of Faults."""

    def kill_container(self) -> str:
        member = self._anybody()
        if member.container is not None:
            member.container_ended(member.container)
        return f"the container of {member.name} is killed"

    def freeze_agent(self) -> str:
        member = self._anybody()
        process = member.container.agent if member.container else None
        if process is not None:
            process.frozen = True

            def thaw() -> None:
                process.frozen = False

            self.cluster.world.after(self._length(), thaw)
        return f"the agent of {member.name} is frozen"

    def kill_agent(self) -> str:
        member = self._anybody()
        if member.container is not None:
            member.container.end_agent()
        return f"the agent of {member.name} is killed"

    def kill_postmaster(self) -> str:
        member = self._anybody()
        if member.container is not None:
            member.container.fence.postmaster_died()
        return f"the postmaster of {member.name} is killed"

    def freeze_node(self) -> str:
        member, length = self._anybody(), self._length()
        container = member.container
        if container is not None:
            container.frozen = True
            self.cluster.world.after(length, lambda: self._thaw(container))
        return f"the node of {member.name} is frozen for {length:.1f} s"

    def kill_node(self) -> str:
        member, length = self._anybody(), self._length()
        self._power_off(member, length)
        return f"the node of {member.name} is off for {length:.1f} s"

    def kill_everything(self) -> str:
        for member in self.cluster.members.values():
            self._power_off(member, self._length())
        return "the power fails for all"

    def terminate(self) -> str:
        """A pod is deleted: SIGTERM, a grace, another pod of the same name."""
        member = self._anybody()
        container = member.container
        if container is not None and not member.terminating:
            member.terminating = container.terminating = True
            self.cluster.show_pods()
            if container.agent is not None:
                container.agent.loop.call_soon(container.agent.agent.terminate)
            self.cluster.world.after(50.0, lambda: member.container_ended(container))
        return f"the pod of {member.name} is deleted"

    def force_delete(self) -> str:
        """The pod's object goes although its container lives on: its kubelet has not heard of it yet."""
        member, length = self._anybody(), self._length()
        container = member.container
        if container is not None and not member.vanished and not member.terminating:
            member.vanished = True
            self.cluster.show_pods()

            def kubelet_hears() -> None:
                member.vanished = False
                if member.container is container:
                    member.container_ended(container, report=False)
                    member.create_pod()
                self.cluster.show_pods()

            self.cluster.world.after(length, kubelet_hears)
        return f"the pod object of {member.name} vanishes"

    def stop_writes(self) -> str:
        """The volume hangs: PostgreSQL lives, and cannot prove that it works."""
        member, length = self._anybody(), 2 * self._length()
        container = member.container
        if container is not None:
            container.sick_since = container.sick_since or self.cluster.world.now
            self.cluster.world.after(length, lambda: setattr(container, "sick_since", None))
        return f"the volume of {member.name} takes no writes for {length:.1f} s"

    def step_clock(self) -> str:
        member, seconds = self._anybody(), self.cluster.world.between(-100, 100)
        member.clock.step += seconds
        if member.container is not None:
            member.container.fence.clock_stepped(seconds)
        return f"the wall clock of {member.name} steps by {seconds:.0f} s"

    def empty_volume(self) -> str:
        member = self._anybody()
        if not self._with_data(but=member):
            return "nothing: the only copy is spared"
        if member.container is not None:
            member.container_ended(member.container)
        member.volume.data = None
        shutil.rmtree(member.folder / "state", ignore_errors=True)
        record = self.cluster.store.lock.value.record
        if record is not None and record.leader == member.name:
            self.person = True  # who was ahead of whom cannot be known by everybody any more
        return f"the volume of {member.name} is lost"

    def swap_volume(self) -> str:
        """Somebody mounts another cluster's volume: it must neither lead nor follow (S6)."""
        member = self._anybody()
        record = self.cluster.store.lock.value.record
        if self.foreign or (record is not None and record.leader == member.name) or self.cluster.checks.system is None:
            return "nothing: no volume is swapped"
        if member.container is not None:
            member.container_ended(member.container)
        branch = Branch(self.cluster.next_branch(), 9, 0)
        member.volume.data = Data("666", (branch,), 10**9, "foreign", was_primary=True)
        self.foreign, self.person = member.name, True
        if self.cluster.world.chance(0.4):
            self.delete_config()  # its new agent cannot learn whose cluster this is from there
        return f"{member.name} gets another cluster's volume"
