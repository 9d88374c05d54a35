"""What happens to a cluster: each fault is drawn by chance, has its effect at once, and heals by itself.

A fault that only a person can heal (a deleted configuration, volumes with the only copy emptied) says so:
then safety is checked and liveness is not asked for. The faults themselves are in the parts, by what they strike.
"""

from __future__ import annotations

from collections.abc import Callable

from pgherd.model.request import Request, Verb
from tests.simulation.connections import Connections
from tests.simulation.deceptions import drift, fill, lie_about, migrate, replace_copy, slow_stream
from tests.simulation.interruptions import Interruptions
from tests.simulation.maintenance import Maintenance
from tests.simulation.objects import Objects
from tests.simulation.standing_by import turned


class Faults(Connections, Objects, Interruptions):
    only = ""
    """The kind that strikes every time; any when empty. What is rare by chance is found sooner so."""

    def strike(self) -> str:
        """One fault, now; what it was."""
        kinds: list[tuple[int, Callable[[], str]]] = [
            (6, self.kill_container), (4, self.freeze_agent), (3, self.kill_agent), (4, self.freeze_node),
            (5, self.kill_node), (2, self.empty_volume), (4, self.partition), (4, self.cut_off), (3, self.api_down),
            (4, self.api_bad), (4, self.terminate), (4, self.kill_postmaster), (2, self.edit_lock),
            (3, self.delete_lock), (2, self.bring_back_lock), (2, self.forget_takeover),
            (1, self.delete_config), (2, self.step_clock), (1, self.swap_volume),
            (2, self.kill_everything), (3, self.force_delete), (2, self.lose_memory), (2, self.change_timing),
            (2, self.stop_writes), (7, self.deceive), (3, self.replace_copy), (5, self.ask_switchover),
            (2, self.ask_member), (6, self.api_gone), (4, Maintenance(self).strike),
            (3, self.change_synchronous), (3, self.lose_synchronous),
            (3, self.interrupt_entry), (3, self.interrupt_take), (3, self.thaw_at_take),
        ]  # fmt: skip
        chosen = [(1, getattr(self, self.only))] if self.only else kinds
        random = self.cluster.world.random
        strike = random.choices([act for _, act in chosen], [weight for weight, _ in chosen])[0]
        text = strike()
        self.cluster.world.say("FAULT", text)
        return text

    def turn(self) -> str:
        """A standby cluster is promoted, or the other way round: more often than its own story has it."""
        return turned(self.cluster, self)

    def _ask(self, verb: Verb, member: str | None) -> str:
        store = self.cluster.store
        request = Request(f"r{len(store.requests.value.requests)}", verb, member, at=f"{self.cluster.world.now:09.3f}")
        store.write_requests({request.id: request}, store.requests.value)
        return f"a person asks for {verb.value}{f' of {member}' if member else ''}"

    def ask_switchover(self) -> str:
        world = self.cluster.world
        return self._ask(Verb.SWITCHOVER, world.random.choice([None, *self.cluster.names]))

    def ask_member(self) -> str:
        world = self.cluster.world
        verb = world.random.choice([Verb.RESTART, Verb.RESTART, Verb.RELOAD, Verb.REINITIALIZE, Verb.FAILOVER])
        return self._ask(verb, self._anybody().name)

    def deceive(self) -> str:
        """What looks like something else."""
        cluster, member, length = self.cluster, self._anybody(), self._length()
        tell: list[Callable[[], str]] = [
            lambda: lie_about(cluster, member, length),
            lambda: migrate(cluster, member, length),
            lambda: drift(cluster, member),
            lambda: fill(cluster, member, length),
            lambda: slow_stream(cluster, cluster.world.random.choice(list(cluster.members.values())), length),
        ]
        return cluster.world.random.choice(tell)()

    def replace_copy(self) -> str:
        record = self.cluster.store.lock.value.record
        leader = self.cluster.members.get((record.leader if record else None) or "", self._anybody())
        return replace_copy(self.cluster, leader, self._length())
