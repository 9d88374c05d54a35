"""A member: its pod, the containers that its kubelet starts in it, the agent processes that a fence starts in those."""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgherd.decide import decide
from pgherd.kubernetes.store import Stores
from pgherd.model.member import MemberStatus, Pod
from pgherd.model.promises import Question, Verdict
from pgherd.model.settings import Identity, PostgresSettings, Settings
from pgherd.runtime.agent import Agent, Parts
from pgherd.runtime.container import Container as ContainerFile
from pgherd.runtime.log import Log
from pgherd.runtime.peers import Heard
from pgherd.runtime.seen import LeaseSeen, read_seen
from tests.simulation.api import Client, SimConfig, SimLock, SimRequests, SimRoute, SimSecrets, SimSummary, SimUsers
from tests.simulation.database import Volume
from tests.simulation.fence import Fence, Instance, Link
from tests.simulation.loop import VirtualLoop
from tests.simulation.pods import ApiPod, Shown, SimPods
from tests.simulation.postgres import SimPostgres
from tests.simulation.world import World

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

EPOCH = 1_700_000_000.0
"""Wall-clock seconds at virtual time 0."""


@dataclass
class MemberClock:
    """A boot-time clock: rate within 1 % of true, any offset, and a wall clock beside it that may step."""

    world: World
    offset: float
    rate: float
    step: float = 0.0

    def __call__(self) -> float:
        return self.offset + self.rate * self.world.now

    def wall(self) -> float:
        return EPOCH + self.rate * self.world.now + self.step

    def stood_still(self, seconds: float, wall: bool) -> None:
        """The boot-time clock did not run for so long, nor did the wall clock if `wall`."""
        self.offset -= self.rate * seconds
        self.step -= self.rate * seconds if wall else 0.0

    def at_rate(self, rate: float) -> None:
        """Another pace from now on; neither clock jumps."""
        change = (self.rate - rate) * self.world.now
        self.offset, self.step, self.rate = self.offset + change, self.step + change, rate

    def when(self, reading: float) -> float:
        """Virtual time at which it shows `reading`."""
        return (reading - self.offset) / self.rate


class StoryLog(Log):
    """The agent's log as lines of the story."""

    def __init__(self, member: str, world: World) -> None:
        super().__init__(member, io.StringIO())
        self._world, self._who = world, member

    def line(self, level: str, code: str, text: str, **more: Any) -> None:
        self._world.say(self._who, f"{code}: {text}")


class Process:
    """One agent process: an event loop of its own, and the shipped agent in it."""

    def __init__(self, container: Container) -> None:
        self.container, world = container, container.world
        self.dead = self.frozen = False
        self.loop = VirtualLoop(lambda: world.now)
        self.client = Client(container.member.cluster.store, container.member.name, self.loop)
        self.link = Link(container.fence)
        self.agent = self._wire()
        self.main = self.loop.create_task(self.agent.run())

    def _wire(self) -> Agent:
        container, member = self.container, self.container.member
        settings = member.settings()
        identity = Identity(member.name, "ns", member.uid, member.address)
        agent: Agent

        async def forever(*parts: Any) -> None:
            await self.loop.create_future()

        async def nothing(*asked: Any) -> Any:
            raise AssertionError("no user is declared")

        parts = Parts(
            stores=Stores(
                SimLock(self.client, lambda: agent.state.configuration.loop_wait + 1.5),
                SimRoute(), SimConfig(self.client), SimPods(self.client), SimSecrets(),
                SimRequests(self.client), SimUsers(), SimSummary(self.client),
            ),
            fence=self.link, server=SimPostgres(self), decide=decide, ask=self._ask,
            ask_promises=self._ask_promises, apply=nothing, serve=forever, certify=forever,
        )  # fmt: skip
        log = StoryLog(member.name, container.world)
        own = ContainerFile(member.run, container.identity, container.born())
        agent = Agent(settings, identity, parts, own, member.run, log, container.clock, container.clock.wall)
        return agent

    async def _ask(self, pods: tuple[Pod, ...], heard: Heard) -> None:
        """Every peer's own words over the network, a second at most."""
        cluster, world = self.container.member.cluster, self.container.world
        waiting = {pod.member: self.loop.create_future() for pod in pods}
        for pod in pods:
            answer = waiting[pod.member]

            def came(status: MemberStatus | None, pod: Pod = pod, answer: Any = answer) -> None:
                if not answer.done() and not self.dead:
                    answer.set_result(None)
                    heard(pod, status if status is not None and status.uid == pod.uid else None)

            cluster.ask(self.container.member.name, pod.address or "", came)
            world.after(1.0, lambda came=came: came(None))  # type: ignore[misc]
        for answer in waiting.values():
            await answer

    async def _ask_promises(
        self, pods: tuple[Pod, ...], question: Question, limit: float
    ) -> dict[str, Verdict | str]:  # fmt: skip
        """Every verdict over the network, `limit` seconds at most."""
        cluster, world = self.container.member.cluster, self.container.world
        words: dict[str, asyncio.Future[Verdict | str]] = {pod.member: self.loop.create_future() for pod in pods}
        for pod in pods:
            word = words[pod.member]

            def came(verdict: Verdict | str, pod: Pod = pod, word: Any = word) -> None:
                if not word.done() and not self.dead:
                    mine = isinstance(verdict, str) or verdict.uid == pod.uid
                    word.set_result(verdict if mine else "the answer is another pod's")

            cluster.ask_promise(self.container.member.name, pod.address or "", question, came)
            world.after(limit, lambda came=came: came("no answer"))  # type: ignore[misc]
        return {member: await word for member, word in words.items()}

    def due(self) -> float | None:
        return None if self.dead or self.frozen or self.container.frozen else self.loop.due()

    def step(self) -> None:
        self.loop.step()
        if self.main.done() and not self.dead:
            self.container.agent_ended(self)

    def kill(self) -> None:
        self.dead = self.link.dead = self.client.dead = True
        self.loop.end()


@dataclass
class Container:
    member: Member
    identity: str
    frozen: bool = False
    gone: bool = False
    awake: float = 0.0
    exempt_until: float = 0.0
    """Virtual time until which a node that was thawed past its deadline may still write (the one exception of S1)."""
    terminating: bool = False
    sick_since: float | None = None
    """Virtual time since which its volume takes no writes: no proof of health succeeds."""
    agent: Process | None = None
    fence: Fence = field(init=False)

    def __post_init__(self) -> None:
        self.fence = Fence(self)
        self.awake = self._boot = self.clock()

    def born(self) -> float:
        """Wall-clock start of its PID 1, reckoned as `runtime.container.pid1_start` does."""
        return self.clock.wall() - (self.clock() - self._boot)

    @property
    def world(self) -> World:
        return self.member.cluster.world

    @property
    def clock(self) -> MemberClock:
        return self.member.clock

    @property
    def volume(self) -> Volume:
        return self.member.volume

    def start(self) -> None:
        self.fence.heartbeat = self.clock()
        self.start_agent()
        self.fence.watch_agent()

    def start_agent(self) -> None:
        if self.gone or self.agent is not None or self.terminating:
            return
        self.agent = Process(self)
        self.fence.heartbeat = self.clock() + 25.0  # its grace for the first heartbeat
        self.world.processes.append(self.agent)

    def end_agent(self) -> None:
        """SIGKILL to the agent; the fence starts another."""
        process, self.agent = self.agent, None
        if process is not None:
            self.world.processes.remove(process)
            process.kill()
            if not self.gone:
                self.world.after(self.world.between(0.2, 1.0), self.start_agent)

    def agent_ended(self, process: Process) -> None:
        """By itself: after SIGTERM that is the container's end, else a mistake of ours."""
        problem = None if process.main.cancelled() else process.main.exception()
        if problem is not None:
            raise AssertionError(f"the agent of {self.member.name} crashed: {problem!r}") from problem
        self.world.processes.remove(process)
        self.agent = None
        process.kill()
        if self.terminating:
            self.member.container_ended(self)

    # What becomes of PostgreSQL.

    def reload(self, instance: Instance) -> None:
        """Its processes read the file one after the other."""
        new = self.volume.rule
        instance.rules = (*(rule for rule in instance.rules if rule != new), new)

        def all_have_read() -> None:
            if self.frozen:
                self.world.after(0.1, all_have_read)
            elif instance.rules[-1] == new:
                instance.rules = (new,)

        self.world.after(self.world.between(0.0, 0.6), all_have_read)

    def instance_ended(self, instance: Instance, clean: bool) -> None:
        data = self.volume.data
        if data is not None and not data.half_rewound:
            self.volume.data = replace(data, clean=clean)
        process = self.agent
        if process is not None:
            for callback in process.link.callbacks:
                process.loop.call_soon(callback, instance.number, 0)

    def came_up(self, instance: Instance) -> None:
        if self.gone or self.fence.instance is not instance:
            return
        if self.frozen:
            self.world.after(0.1, lambda: self.came_up(instance))
            return
        instance.running = True
        instance.recovery = not instance.writable
        instance.writes_since = self.world.now
        self.member.cluster.checks.one_primary()

    def promoted(self, instance: Instance, timeline: int) -> None:
        if self.gone or self.fence.instance is not instance or self.volume.data is None or not instance.recovery:
            return  # asked for by an earlier agent, too: a server is promoted once
        if self.frozen:
            self.world.after(0.1, lambda: self.promoted(instance, timeline))
            return
        cluster = self.member.cluster
        cluster.checks.promoting(self, self.volume.data, timeline)
        self.volume.data = self.volume.data.promoted(timeline, cluster.next_branch())
        cluster.checks.promoted(self.volume.data)
        instance.recovery, instance.promoting, instance.streaming = False, False, False
        instance.writes_since = self.world.now
        cluster.checks.one_primary()

    def flush(self, instance: Instance) -> None:
        """The shutdown's checkpoint: the last that is written."""
        cluster = self.member.cluster
        if instance.accepts_writes:
            cluster.grow(self, 1)
            cluster.stream(self.member.name, everything=True)
            cluster.acknowledge(self)
            instance.shut_down = self.volume.data.lsn if self.volume.data else None

    def shut_down(self, instance: Instance) -> None:
        """A fast shutdown sends everything to whoever streams before it ends."""
        self.flush(instance)
        self.fence.instance = None
        self.instance_ended(instance, clean=True)


@dataclass
class Member:
    cluster: Cluster
    name: str
    clock: MemberClock
    folder: Path
    volume: Volume = field(default_factory=Volume)
    uid: str = ""
    address: str = ""
    container: Container | None = None
    shown: Shown = field(default_factory=Shown)
    """What its kubelet says of its containers."""
    terminating: bool = False
    vanished: bool = False
    """Its pod object was deleted, the container lives on."""
    node_off: bool = False
    off_until: float = 0.0
    full_until: float = 0.0
    """Virtual time until which its volume has no space: it writes no more, and PostgreSQL may die of it."""
    slow_until: float = 0.0
    """Virtual time until which no WAL comes to it, although it streams."""
    unreported: Container | None = None
    """Died with its node, whose kubelet could not say so yet."""

    @property
    def run(self) -> Path:
        """The pod's emptyDir."""
        path = self.folder / f"run-{self.uid}"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def settings(self) -> Settings:
        state = self.folder / "state"
        state.mkdir(parents=True, exist_ok=True)
        server = PostgresSettings(
            version=17, bin_directory="/nowhere", data_directory=str(self.folder / "data"), state_directory=str(state)
        )
        return Settings(cluster="demo", postgres=server, members=self.cluster.names, tags=self.cluster.tags)

    def remembers(self) -> LeaseSeen | None:
        """What its volume says of the lock."""
        return read_seen(self.folder / "state" / "lease-seen.json")

    # The kubelet.

    def create_pod(self) -> None:
        if self.container is not None:
            return  # it came with the node already
        random = self.cluster.world.random
        self.uid, self.address = f"uid-{random.getrandbits(40):010x}", f"10.{random.getrandbits(24)}"
        self.shown, self.terminating = Shown(), False
        self.start_container()

    def start_container(self) -> None:
        if self.container is not None or self.node_off:
            return
        self.container = Container(self, f"c-{self.cluster.world.random.getrandbits(40):010x}")
        self.shown.container, self.shown.started = self.container.identity, self.clock.wall()
        self.container.start()
        self.cluster.show_pods()

    def container_ended(self, container: Container, report: bool = True) -> None:
        """It is dead; the kubelet says so a little later, and starts another one a little after that."""
        world = self.cluster.world
        if container.gone:
            return
        container.gone = True
        container.end_agent()
        container.fence.kill()
        self.container = None
        world.say(self.name, "the container is dead")
        if report:
            self.report(container)

    def report(self, container: Container) -> None:
        world, uid, started = self.cluster.world, self.uid, self.shown.started

        def tell() -> None:
            if not self.node_off and self.uid == uid:
                self.shown.death(container.identity, started, self.clock.wall())
                self.cluster.checks.reported.add(container.identity)
                self.cluster.show_pods()
                pause = world.between(0.1, 1.0) if self.shown.restarts < 2 else world.between(3.0, 10.0)
                world.after(pause, self._again if not self.terminating else self.create_pod)

        late = world.between(2.0, 10.0) if world.chance(0.1) else world.between(0.2, 1.5)
        world.after(late, tell)

    def _again(self) -> None:
        self.start_container()

    def seen(self) -> ApiPod:
        return self.shown.pod(self.name, self.uid, self.address, self.terminating)
