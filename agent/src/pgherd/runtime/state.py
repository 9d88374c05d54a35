"""What this member has observed so far: the one mutable thing that the agent's tasks share.

Everything runs in one event loop, so there are no locks; each field has the one writer named beside it.
`view` freezes it into the value that a decision looks at.
"""

from __future__ import annotations

import msgspec

from pgherd.decide.slots import remembered
from pgherd.kubernetes.store import ConfigSeen, PodSeen, older
from pgherd.model.access import Report
from pgherd.model.actions import Reason
from pgherd.model.certificate import CertificateState
from pgherd.model.knowledge import Knowledge, renewed_at
from pgherd.model.member import Death, MemberStatus, Peer, Pod, stance
from pgherd.model.position import Position
from pgherd.model.request import Asked
from pgherd.model.server import Health, Process, Server
from pgherd.model.settings import Configuration, Identity, InvalidSetting, Settings, read_configuration
from pgherd.model.slots import SlotsSeen
from pgherd.model.standby import RemoteSeen
from pgherd.model.synchronous import Enforced
from pgherd.model.tags import published
from pgherd.model.view import Failure, Task, TaskKind, View, forgiven
from pgherd.runtime import cut_off
from pgherd.runtime.container import Container
from pgherd.runtime.log import Changing, Log
from pgherd.runtime.tally import Tally
from pgherd.runtime.waiting import Bell

FAILURES = 16
"""Failures remembered."""


class Answer(msgspec.Struct, frozen=True):
    """What a peer said last, silence included."""

    uid: str
    status: MemberStatus | None
    asked: float
    ended: float
    first_missing: float = 0.0
    settled: float = 0.0


class Unpromised(msgspec.Struct, frozen=True):
    """How the last round of promises ended."""

    began: float
    why: str
    """Why it does not count; empty when it does."""


class Stall(msgspec.Struct, frozen=True):
    """What must change for a standby that does not stream to count as getting on."""

    epoch: int
    address: str | None
    answers: bool
    position: Position | None
    replayed: int
    incarnation: str | None


class State:
    def __init__(self, settings: Settings, identity: Identity, container: Container, log: Log) -> None:
        self.settings, self.identity, self.container = settings, identity, container
        self.settings_digest = ""  # __main__: names the file that the settings were read from
        self.tags = {member: published(tags) for member, tags in settings.tags.items()}
        self.decide = Bell()
        """Rings when a new decision may come out differently."""
        self.look = Bell()
        """Rings when PostgreSQL should be looked at now."""
        self.knowledge = Knowledge()  # lock.Lock
        self.lock_read = False  # lock.Lock: the first definite word on the lock object
        self.configuration = Configuration()  # watchers
        self.config_seen: ConfigSeen | None = None  # watchers, config
        self._config_kept: ConfigSeen | None = None  # config_kept: an earlier agent's
        self._valid: str | None = None  # watchers: the text of `configuration`
        self._config_read = False  # watchers: that text was the object's
        self.pods: tuple[PodSeen, ...] | None = None  # watchers
        self.server: Server | None = None  # observer
        self.stopped_since: float | None = None  # observer
        self.restless_since: float | None = None  # observer
        self.stalled_since: float | None = None  # observer
        self._stall: Stall | None = None  # observer
        self.unsent_since: dict[str, float] = {}  # observer
        self.cut_off = ""  # upkeep.Following
        self.barred_nonce = cut_off.remembered(settings)  # upkeep.Following
        self.starts = 0  # observer: how often it was seen not running, so that no proof outlives its server
        self.enforced: Enforced | None = None  # synchronous; observer takes it back
        self.remote: RemoteSeen | None = None  # remote
        self.health: Health | None = None  # observer.Prober
        self.answers: dict[str, Answer] = {}  # peers
        self.task: Task | None = None  # tasks
        self.failures: tuple[Failure, ...] = ()  # tasks
        self.writing = False  # writer
        self.requests: tuple[Asked, ...] = ()  # requests
        self.slots = SlotsSeen()  # slots
        self.access: Report | None = None  # access: what became of declared users and databases
        self.certificates: dict[str, CertificateState] = {}  # certificates
        self._slots_present: dict[str, float] = {}  # view: when each slot's member was last there
        self.unpromised = Unpromised(0.0, "")  # promises
        self.terminating = False  # agent
        self.told_to_stop = 0.0  # agent
        self._deaths: dict[Death, float] = {}  # view: when each was first seen
        self.streamed: float | None = None  # observer: when it was last seen streaming
        self.decided = 0.0  # agent: when the last decision ended
        self.reason = Reason("starting", "the agent has just started")  # agent
        self.tally = Tally()  # whoever does what it counts
        self.refused = ""  # watchers: why the configuration's text is not in force
        self._bad_configuration = Changing(log, "error", "configuration-refused")

    @property
    def complete(self) -> bool:
        """Whether everything was observed at least once: before that no decision is made."""
        return not self.unread()

    def unread(self) -> tuple[str, ...]:
        """What was not observed yet, for people."""
        seen = {
            "the lock object": self.lock_read or None, "the configuration object": self.config_seen,
            "the pods": self.pods, "PostgreSQL": self.server,
        }  # fmt: skip
        return tuple(what for what, value in seen.items() if value is None)

    @property
    def leads_standbys(self) -> bool:
        """It holds the lease as a standby leader."""
        known = self.knowledge
        held = known.held is not None and known.record is not None
        return held and known.record is not None and known.record.holder is not None and known.record.holder.standby

    def own_pod(self) -> PodSeen | None:
        return next((seen for seen in self.pods or () if seen.pod.uid == self.identity.uid), None)

    def saw_config(self, seen: ConfigSeen, certain: bool = False) -> bool:
        """Keep the last configuration that was valid: a mistake in it must not stop a running cluster.

        A deleted object is such a mistake: what was known of identity and configuration stays in force, also for an
        agent that starts meanwhile. False: it is older than what is known and nothing was changed, unless it is
        `certain`, of a read that began after that.
        """
        known = self.config_seen or self._config_kept
        if known is not None and older(seen.version, known.version) and not certain:
            return False  # the watch is late: a reply to an own write was here first
        there, missing = bool(seen.version) and seen.config is not None, ""
        if not seen.version and known is not None:
            seen, missing = known, "the configuration object is missing: what it said last stays in force"
        elif seen.config is None and self._valid is not None:
            seen = msgspec.structs.replace(seen, config=self._valid)
            missing = "annotation config is missing: what it said last stays in force"
        self.config_seen = seen
        try:
            self.configuration = read_configuration(seen.config)
            self._valid = seen.config
            self._config_read |= there
            self.refused = ""
            self._bad_configuration(missing)
        except InvalidSetting as error:
            self._bad_configuration(missing or f"the configuration before it stays in force: {error}")
            self.refused = str(error)
        self.decide.ring()
        return True

    def inherit_config(self, kept: ConfigSeen) -> None:
        """What an earlier agent kept: in force until the object is read."""
        self._config_kept = kept
        self.configuration = read_configuration(kept.config)
        self._valid = kept.config

    def in_force(self) -> ConfigSeen | None:
        """Identity and the last valid configuration, as they are kept; None before the object had any."""
        seen = self.config_seen
        if seen is None or not seen.version or (seen.config is not None and self._valid is None):
            return None
        return ConfigSeen(initialize=seen.initialize, config=self._valid)

    def saw_pods(self, pods: tuple[PodSeen, ...]) -> None:
        self.pods = pods
        own = self.own_pod()
        if own is not None:
            self.container.learn(own)
        self.decide.ring()

    def saw_server(self, server: Server, now: float) -> None:
        """`stopped_since` is the moment when a server that ran was first seen dead."""
        before = self.server
        down = (Process.STOPPED, Process.CRASHED)
        dead = server.process in down
        if dead and before is not None and before.process not in down:
            self.stopped_since = now
        elif not dead:
            self.stopped_since = None
        restless = server.process in (Process.STARTING, Process.STOPPING)
        self.restless_since = (self.restless_since or now) if restless else None
        self.failures = forgiven(self.failures, before, server)
        self._watch_progress(server, now)
        self._watch_senders(server, now)
        # While it streams, it did so until now: the next look says when that ended.
        if server.streaming or (before is not None and before.streaming):
            self.streamed = now
        self.server = server
        if server != before:
            self.decide.ring()

    def _watch_senders(self, server: Server, now: float) -> None:
        """`unsent_since`: to whom this primary does not stream; what was proved of a server ends with it."""
        if server.process is not Process.RUNNING:
            self.starts += 1
            self.enforced = None
        served = {sender.member for sender in server.senders}
        silent = [name for name in self.settings.members if server.primary and name not in served]
        self.unsent_since = {name: self.unsent_since.get(name, now) for name in silent}

    def _watch_progress(self, server: Server, now: float) -> None:
        """`stalled_since`: neither streaming nor gaining nor replaying WAL although the leader answers. Where replay
        waits on purpose no receiver would be begun, whatever the leader still has."""
        record, last = self.knowledge.record, self._stall
        leader = self.answers.get((record.leader if record else None) or "")
        running = server.process is Process.RUNNING
        stall = Stall(
            epoch=record.epoch if record else 0,
            address=record.address if record else None,
            answers=leader is not None and leader.status is not None,
            position=server.position if running or last is None else last.position,
            replayed=server.replayed if running or last is None else last.replayed,
            incarnation=server.incarnation,
        )
        if server.streaming or server.primary:
            self.stalled_since = None
        elif stall != last or self.stalled_since is None or server.replay_waits:
            self.stalled_since = now
        self._stall = stall

    def failed(self, kind: TaskKind, target: str | None, now: float, error: str) -> None:
        holder = self.knowledge.record.holder if self.knowledge.record else None
        failure = Failure(kind, target, holder.timeline if holder else 0, now, error)
        self.failures = (*self.failures, failure)[-FAILURES:]

    def saw_answer(self, pod: Pod, status: MemberStatus | None, began: float, now: float) -> None:
        """One question that was sent at `began` has ended. A pod without an address says nothing."""
        before = self.answers.get(pod.member)
        if before is not None and before.uid == pod.uid and before.asked > began:
            return  # a later question has ended already
        if status is not None and status.uid != pod.uid:
            status = None  # another pod under this address: not this member's words
        missing = 0.0 if status else (before.first_missing if before and before.first_missing else began)
        same = before is not None and before.uid == pod.uid and stance(before.status) == stance(status)
        settled = before.settled if before is not None and same else now
        self.answers[pod.member] = Answer(pod.uid, status, began, now, missing, settled)
        self.decide.ring()

    def predecessor_held(self) -> bool:
        """Proof 3: the lease was made by an earlier container of this very pod (ha-protocol §2).

        The fence starts an agent only while it holds the volume's lock, so that container's PostgreSQL is gone.
        A lease that this container wrote itself is never a predecessor's.
        """
        record = self.knowledge.record
        return (
            record is not None
            and record.holder is not None
            and record.holder.uid == self.identity.uid
            and not record.free
            and not self.container.wrote
        )

    def others(self) -> tuple[Pod, ...]:
        """The other members' pods. One that was deleted is remembered for its death, and is nobody to ask: its silence
        would stand in the place of the words of the pod that came after it."""
        pods = (seen.pod for seen in self.pods or () if seen.pod.member != self.identity.member)
        return tuple(pod for pod in pods if pod.address is not None or not pod.terminating)

    def peers(self) -> tuple[Peer, ...]:
        peers = []
        for pod in self.others():
            answer = self.answers.get(pod.member)
            if answer is None or answer.uid != pod.uid:
                peers.append(Peer(pod))
            else:
                times = (answer.asked, answer.ended, answer.first_missing, answer.settled)
                peers.append(Peer(pod, answer.status, *times))
        return tuple(peers)

    def _unpromised(self) -> str:
        """Old news since the lease was renewed, by the API or by promises."""
        known, last = self.knowledge, self.unpromised
        return last.why if known.held is not None and last.began > renewed_at(known) else ""

    def _death_seen(self, now: float) -> float | None:
        """When the death of the lease's own container was first seen (proof 2); its delay counts from there."""
        holder = self.knowledge.record.holder if self.knowledge.record else None
        seen = {death: self._deaths.get(death, now) for pod in self.pods or () for death in pod.pod.deaths}
        self._deaths = seen
        return None if holder is None else seen.get(Death(holder.uid, holder.container))

    def _remember_slots(self, now: float) -> dict[str, float]:
        pods = [seen.pod for seen in self.pods or ()]
        self._slots_present = remembered(
            self._slots_present, self.identity.member, self.settings.members, pods, self.knowledge.record,
            self.slots.found, self.configuration.member_slots_ttl, now,
        )  # fmt: skip
        return self._slots_present

    def view(self, deadline: float, now: float) -> View:
        """Everything at this instant. `deadline` is the fence's."""
        return View(
            member=self.identity.member,
            uid=self.identity.uid,
            container=self.container.id,
            address=self.identity.address,
            configuration=self.configuration,
            configuration_read=self._config_read,
            knowledge=self.knowledge,
            server=self.server or Server(),
            health=self.health,
            initialize=self.config_seen.initialize if self.config_seen else None,
            members=self.settings.members,
            peers=self.peers(),
            pods=tuple(seen.pod for seen in self.pods or ()),
            task=self.task,
            failures=self.failures,
            writing=self.writing,
            requests=self.requests,
            terminating=self.terminating,
            armed=deadline > now,
            predecessor_held=self.predecessor_held(),
            stopped_since=self.stopped_since,
            restless_since=self.restless_since,
            stalled_since=self.stalled_since,
            slots=self.slots,
            slots_present=self._remember_slots(now),
            unpromised=self._unpromised(),
            tags=self.tags,
            enforced=self.enforced,
            unsent_since=self.unsent_since,
            cut_off=self.cut_off,
            barred_nonce=self.barred_nonce,
            told_to_stop=self.told_to_stop,
            remote=self.remote,
            death_seen=self._death_seen(now),
        )
