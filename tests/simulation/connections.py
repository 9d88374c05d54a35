"""Faults of what lies between: the network, the API server, the peers' answers."""

from __future__ import annotations

from itertools import permutations

from tests.simulation.api import Weather
from tests.simulation.means import Means
from tests.simulation.member import Member
from tests.simulation.world import API


class Connections(Means):
    """Part of Faults."""

    def partition(self) -> str:
        world, length = self.cluster.world, self._length()
        chosen = [way for way in permutations([*self.cluster.names, API], 2) if world.chance(0.3)]
        if world.chance(0.5):
            chosen += [(receiver, sender) for sender, receiver in chosen]
        self.cluster.cut(set(chosen), length)
        return f"cut for {length:.1f} s: {' '.join(f'{sender}>{receiver}' for sender, receiver in chosen)}"

    def cut_off(self) -> str:
        world, member, length = self.cluster.world, self._anybody(), self._length()
        names = [name for name in self.cluster.names if name != member.name]
        others = world.random.choice([[API], names, [*names, API]])
        ways = world.random.choice([("to", "from"), ("to", "from"), ("to",), ("from",)])
        self._isolate(member.name, others, ways, length)
        return f"nothing passes {' and '.join(ways)} {member.name} for {length:.1f} s, as to {', '.join(others)}"

    def api_down(self) -> str:
        length = self._length()
        self.cluster.store.weather.down = True
        self.cluster.world.after(length, lambda: setattr(self.cluster.store.weather, "down", False))
        return f"the API is away for {length:.1f} s"

    def api_bad(self) -> str:
        world, length = self.cluster.world, self._length()
        self.cluster.store.weather = Weather(
            self.cluster.store.weather.down, *(world.between(0, 0.5) for _ in range(3)), world.between(0, 3.0)
        )
        world.after(length, lambda: setattr(self.cluster.store, "weather", Weather()))
        return f"the API is in a bad way for {length:.1f} s"

    def api_gone(self) -> str:
        """For six ttl, for all or for the leader alone: it lives on promises, and something happens to those."""
        world, store, leader = self.cluster.world, self.cluster.store, self._leader()
        if leader is None or store.weather.down:
            return "nothing: there is no leader, or no API"
        ttl = store.ttl if store.lock.value.record is None else min(store.lock.value.record.ttl, 10.0)
        others, said = [name for name in self.cluster.names if name != leader.name], []
        before = world.between(2.0, 4.0) * ttl if others and world.chance(0.3) else 0.0
        if before:
            gone = others.pop(world.random.randrange(len(others)))
            self._power_off(self.cluster.members[gone], before + 8 * ttl)
            said.append(f"{gone} is off {before:.1f} s before")
        alone = world.chance(0.5)
        world.after(before, lambda: self._api_gone(leader.name, alone, 6 * ttl))
        for _ in range(world.random.randint(0, 2)):
            more = world.random.choice(
                [self._cut_candidate, self._freeze_leader, self._restart_promiser, self._bad_peers]
            )
            when = before + world.between(0.0, 4.0) * ttl
            world.after(when, lambda more=more: more(leader, others, ttl))  # type: ignore[misc]
            said.append(f"{more.__name__.strip('_').replace('_', ' ')} after {when:.1f} s")
        where = f"for {leader.name}" if alone else "for all"
        return f"the API is gone {where} for {6 * ttl:.0f} s{''.join(f', {each}' for each in said)}"

    def _api_gone(self, leader: str, alone: bool, length: float) -> None:
        world, weather = self.cluster.world, self.cluster.store.weather
        if alone:
            self._isolate(leader, [API], ("to", "from"), length)
            return
        weather.down = True
        world.after(length, lambda: setattr(weather, "down", False))

    def _cut_candidate(self, leader: Member, others: list[str], ttl: float) -> None:
        """From then on one candidate promises nothing more."""
        if others:
            self._isolate(self.cluster.world.random.choice(others), [leader.name], ("to", "from"), 3 * ttl)

    def _freeze_leader(self, leader: Member, others: list[str], ttl: float) -> None:
        """In the middle of the next round, mostly; and what was promised then may be all there will be."""
        world, peers = self.cluster.world, self.cluster.peers

        def freeze() -> None:
            process = leader.container.agent if leader.container else None
            if process is None:
                return
            process.frozen = True
            world.after(world.between(0.1, 0.5) * ttl, lambda: setattr(process, "frozen", False))
            if world.chance(0.7):
                self._cut_candidate(leader, others, ttl)

        peers.when_asked = freeze

    def _restart_promiser(self, leader: Member, others: list[str], ttl: float) -> None:
        container = self.cluster.members[self.cluster.world.random.choice(others)].container if others else None
        if container is not None:
            container.end_agent()

    def _bad_peers(self, leader: Member, others: list[str], ttl: float) -> None:
        world, peers = self.cluster.world, self.cluster.peers
        peers.lost, peers.slow = world.between(0.0, 0.7), world.between(0.0, 0.7)

        def well() -> None:
            peers.lost = peers.slow = 0.0

        world.after(2 * ttl, well)
