"""PostgresServer: the executor over one server. Every method is bounded and may be cancelled.

Made once when the agent starts. It owns the data directory (under the volume's lock, taken at first use) and the
process (through the fence); what the process does next is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from typing import Any

import psycopg

from pgherd.model.metrics import Sample
from pgherd.model.position import Position
from pgherd.model.server import Data, Health, Process, Server
from pgherd.model.settings import Configuration, Identity, InvalidSetting, Settings
from pgherd.model.slots import SlotOrders, SlotsSeen
from pgherd.model.standby import RemoteLine
from pgherd.model.synchronous import WAIT, Rule
from pgherd.postgres import (
    configure,
    fetching,
    histories,
    keys,
    postmaster,
    remote,
    render,
    renewed,
    replace,
    roles,
    sessions,
    synchronous,
    walhome,
)
from pgherd.postgres.apply import Applier
from pgherd.postgres.clone import clone
from pgherd.postgres.control import ControlData
from pgherd.postgres.errors import FenceRefused, NotArmed, PostgresError, StartFailed, WouldDestroy
from pgherd.postgres.initialise import initialise
from pgherd.postgres.layout import Layout, environment
from pgherd.postgres.link import FenceLink
from pgherd.postgres.making import Making, Report
from pgherd.postgres.measure.gather import Gatherer
from pgherd.postgres.observe import Observer
from pgherd.postgres.probe import Prober
from pgherd.postgres.promote import choose_timeline, promote
from pgherd.postgres.render import conninfo
from pgherd.postgres.rewind import rewind
from pgherd.postgres.sessions import Connection, bounded
from pgherd.postgres.slots import Slots
from pgherd.postgres.source import Source

QUERY = 5.0
PROMOTE = 60.0
STANDBY_START = 30.0
"""Seconds to wait for a standby to take connections: one that misses WAL goes on in state STARTING."""
CHECKPOINT = 3600.0


class PostgresServer:
    def __init__(
        self, settings: Settings, identity: Identity, link: FenceLink, temporary: str | None = None,
        report: Report = print,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._identity = identity
        self._link = link
        self._report = report
        self.layout = Layout(settings.postgres, temporary, settings.volumes.get(identity.member))
        self._observer = Observer(self.layout, settings, link)
        self._prober = Prober(self.layout)
        self._slots = Slots(self.layout)
        self._gatherer = Gatherer(self.layout, link)
        self._applier = Applier(self.layout, settings, identity, link)
        self._prepared = self._roles_there = False
        self._withheld = False
        """The replication key is not to be put back: this standby is cut off."""
        self._waits: int | None = None
        """Postmaster whose commits were proved to wait since its setting is not empty."""
        self._background: set[asyncio.Task[Any]] = set()

    async def prepare(self) -> None:
        """Lock the volume, tidy up after a crash. Everything below calls it; raises FenceRefused while it is locked."""
        if not self._prepared:
            configure.make_directories(self.layout)
            await self._link.lock_volume(str(self.layout.lock), str(self.layout.data))
            await replace.tidy(self.layout)
            self._prepared = True

    # Looking

    async def observe(self) -> Server:
        """At most a second. While another container has the volume: nothing is known of the data, nothing runs."""
        try:
            await self.prepare()
        except FenceRefused:
            return Server(data=Data.BROKEN, process=Process.STOPPED)
        return await self._observer.observe()

    async def probe(self, limit: float = 3.0) -> Health:
        """Proof of health: a new connection and a durable write, `limit` seconds each (retry_timeout)."""
        return await self._prober.probe(limit)

    async def statistics(self) -> tuple[Sample, ...]:
        """For `/metrics`: whatever PostgreSQL answers within gather.LIMIT."""
        return await self._gatherer.gather()

    async def connection(self, database: str = "postgres") -> Connection:
        """A new superuser connection over the local socket, rows as dicts, autocommit. The caller closes it."""
        return await bounded(sessions.connect(self.layout, database=database), QUERY)

    # Data directories

    async def initialise(self) -> str:
        """New data in an empty volume; their system identifier. Raises WouldDestroy when there is data (S7)."""
        await self.prepare()
        if self._observer.data() is not Data.EMPTY:
            raise WouldDestroy(f"{self.layout.data} is not empty: it is never initialised over (S7)")
        await initialise(self._making(), self._link.armed, self._settings.bootstrap_method)
        control = await self._observer.control.read()
        if control is None:
            raise PostgresError(f"{self.layout.data}: pg_controldata cannot read what was made")
        return control.system_identifier

    def _making(self) -> Making:
        return Making(self.layout, self._settings.cluster, self._link.volume_fd, self._report)

    async def clone(self, source: Source, replace: bool, configuration: Configuration) -> None:
        """A copy of `source`'s data. Existing data goes only with `replace`, its divergent WAL aside first (S5)."""
        await self._stopped("clone")
        keys.refresh(self.layout)
        control = await self._observer.control.read()
        own = None
        if control:
            position, known = await self._observer.wal_end.position(control, QUERY)
            own = (control.system_identifier, position) if position and known else None
        self._observer.wal_end.forget()
        await clone(self._making(), self._conninfo(source), own, replace, configuration.clone_methods)

    async def line(self, source: Source) -> RemoteLine:
        """What a server elsewhere says of itself. Raises PostgresError."""
        keys.refresh(self.layout)
        return await remote.line(self._conninfo(source))

    async def rewind(self, source: Source) -> None:
        """Divergent WAL aside, single-user recovery if the shutdown was unclean, pg_rewind, a new incarnation."""
        await self._stopped("rewind")
        keys.refresh(self.layout)
        self._observer.wal_end.forget()
        await rewind(self.layout, self._observer.control, self._link, self._conninfo(source))

    # The process

    async def start(self, writable: bool, source: Source | None, configuration: Configuration) -> None:
        """Write the configuration, start, wait for an answer. Writable (in place) only under an armed fence (S4)."""
        await self._stopped("start")
        control = await self._observer.control.read()
        if control is None or self._observer.data() is not Data.PRESENT:
            raise StartFailed(f"{self.layout.data} holds no usable data")
        if writable and not (control.was_primary and not (self.layout.data / "backup_label").exists()):
            raise StartFailed("a standby's data starts as a standby and is promoted: its timeline is not its own (S2)")
        self._withheld = False
        keys.refresh(self.layout)
        keys.serve(self.layout)
        fetching.go(self.layout)
        self._observer.wal_end.forget()
        usable = await self._applier.for_start(configuration)
        await walhome.settle(self.layout)
        # In a thread: every file is synced, and a stalled volume must not stop the heartbeat.
        await self._applier.write(lambda: self._lay_out(writable, source, usable, control))
        await self._take_over_slots(writable, source, usable)
        if await self._launch(writable, usable):
            await self._applier.started(usable)
            await self._after_start(writable)
            await self._prove(configuration, usable)

    async def _launch(self, writable: bool, configuration: Configuration) -> bool:
        """Whether it takes connections; a standby may go on without doing so. Raises StartFailed."""
        argv = [self.layout.program("postgres"), "-D", str(self.layout.data)]
        self._observer.stopping = None  # a pid may come again
        pid = await self._link.start(argv, environment(), writable)
        self._waits = pid if configure.synchronous(self.layout) else None
        limit = configuration.start_limit if writable else STANDBY_START
        try:
            answered = await postmaster.until_it_answers(self._observer, self._link, pid, limit)
        except StartFailed:
            await self._applier.failed(configuration)
            raise
        if writable and not answered:
            raise StartFailed(f"no answer within {limit:g} s (primary_start_timeout)")
        return answered

    def _lay_out(
        self, writable: bool, source: Source | None, configuration: Configuration, control: ControlData
    ) -> None:  # fmt: skip
        """Files as the start needs them; blocking."""
        configure.make_directories(self.layout)
        upstream, floor = (None, {}) if writable else (source, control.limits)
        # A standby may be promoted: its commits then wait from the first one on, until the setting is another (S3).
        names = synchronous.setting(WAIT) if configuration.synchronous and not writable else None
        configure.write(self.layout, self._settings, self._identity, configuration, upstream, floor, names)
        if writable:
            configure.mark_primary(self.layout)
        else:
            configure.mark_standby(self.layout)
            histories.prepare_recovery(self.layout.wal, control.position)

    async def _prove(self, configuration: Configuration, usable: Configuration) -> None:
        """What could not be proved before the start: refused rules leave those before in force."""
        if configuration.postgresql != usable.postgresql:
            try:
                await self.reload(configuration)
            except InvalidSetting:
                pass  # seen in every observation
            except (PostgresError, psycopg.Error, TimeoutError, OSError):
                pass  # it runs: the next reload tries again
        self._observer.refused = self._applier.refused

    async def _take_over_slots(self, writable: bool, source: Source | None, configuration: Configuration) -> None:
        conninfo = None if writable or source is None else self._conninfo(source)
        room = render.replication_slots(self._settings, configuration)
        await self._slots.before_start(conninfo, configuration.logical_slots, room)

    async def require(self, rule: Rule, configuration: Configuration) -> int:
        """`synchronous_standby_names` is exactly this, and in force on all that acknowledge commits; the flush position
        after that. Raises PostgresError when it cannot be proved."""
        text, members = synchronous.setting(rule), tuple(self._settings.members)
        state = await self._link.state()
        await self._applier.write(lambda: configure.require(self.layout, text))
        await self._link.signal(signal.SIGHUP)  # also unchanged: an agent that died may have written it
        await synchronous.shown(self.connection, text)
        connection = await self.connection()
        try:
            primary, _ = await synchronous.flushed(connection)
            if not text:
                self._waits = None
            elif self._waits != state.postgres_pid:
                await synchronous.commits_wait(self.connection, primary)
                self._waits = state.postgres_pid
            if primary and text:
                await synchronous.senders_obey(connection, members)
            return (await synchronous.flushed(connection))[1]
        finally:
            await connection.close()

    async def follow(self, source: Source | None, configuration: Configuration) -> None:
        """Point a running standby at `source` by a reload; its WAL receiver starts anew."""
        self._withheld = False
        keys.refresh(self.layout)
        fetching.go(self.layout)
        await self._applier.follow(configuration, source)
        fetching.turn(self.layout)

    async def cut_off(self, configuration: Configuration) -> None:
        """End the WAL receiver of a running standby for good: one that the startup process begins by what it has read
        before finds no key. Raises PostgresError when it does not end (S3)."""
        self._withheld = True
        keys.withhold(self.layout)
        await self._applier.follow(configuration, None)
        await self._link.signal(signal.SIGHUP)
        connection = await self.connection()
        try:
            await synchronous.receiver_ended(connection)
        finally:
            await connection.close()

    async def reload(self, configuration: Configuration) -> bool:
        """Write what changed and reload; whom it follows stays. Whether a parameter waits for a restart.

        Raises InvalidSetting when PostgreSQL would refuse it: then everything stays as it was.
        """
        connection = await self.connection()
        try:
            self._observer.pending_restart = await self._applier.reload(connection, configuration)
        finally:
            self._observer.refused = self._applier.refused
            await connection.close()
        return bool(self._observer.pending_restart)

    async def promote(self, timeline: int, limit: float = PROMOTE) -> Position:
        """Onto exactly this timeline; where it began. Raises NotArmed before, PromoteFailed or WrongTimeline after."""
        if not self._link.armed():
            raise NotArmed("promotion needs an armed deadline in the future (S4)")
        seen = await self._observer.observe()
        if seen.process is not Process.RUNNING or seen.position is None or seen.primary:
            raise PostgresError(f"only a running standby can be promoted, not {seen.process.value}")
        await asyncio.to_thread(choose_timeline, self.layout, seen.position.timeline, timeline)
        connection = await self.connection()
        try:
            state = await self._link.state()
            await self._slots.before_promotion(connection, seen.position.timeline)
            self._observer.promoting = state.postgres_pid
            fetching.stop(self.layout)
            began = await promote(self.layout, self._link, connection, timeline, limit)
        except NotArmed:
            self._observer.promoting = None
            raise
        finally:
            await connection.close()
        self._later(self.checkpoint())
        return began

    async def settle(self, limit: float) -> None:
        """A checkpoint within `limit` seconds, while clients still write: it makes the shutdown's own short."""
        with contextlib.suppress(psycopg.Error, TimeoutError, OSError):
            await self.checkpoint(limit)

    async def stop(self, limit: float) -> None:
        """Fast shutdown, after `limit` seconds the killing pass. Dead when it returns."""
        pid = (await self._link.state()).postgres_pid
        if pid is not None:
            self._observer.stopping = pid
            await self._observer.disconnect()
            await postmaster.fast_shutdown(self._link, limit)
        await self.kill()

    async def kill(self) -> None:
        """The killing pass; dead when it returns (S1)."""
        await self._link.kill()

    # Upkeep

    async def serve_certificate(self, fingerprint: str) -> None:
        """Reload, until new connections are served with the copy in use. Raises PostgresError when they are not."""
        if (await self._link.state()).postgres_pid is None:
            return  # a start reads the files
        await self._link.signal(signal.SIGHUP)
        await renewed.served(self._settings.postgres.port, fingerprint)

    @property
    def withheld(self) -> bool:
        """Whether the replication key is kept away: this standby is cut off (S3)."""
        return self._withheld

    async def reconnect(self, source: Source) -> None:
        """The WAL receiver streams by the certificate in use. Raises psycopg.Error when that would not connect: then
        the connection of before goes on."""
        await renewed.connects(self._conninfo(source))
        if not self._withheld:
            connection = await self.connection()
            try:
                await renewed.restart_receiver(connection)
            finally:
                await connection.close()

    async def keep_slots(self, orders: SlotOrders, source: Source | None) -> SlotsSeen:
        """One pass over the slots; `source` is the primary that a standby follows."""
        connection = await self.connection()
        try:
            if orders.primary:
                await self._ensure_roles(connection)
            return await self._slots.keep(connection, orders, self._conninfo(source) if source else None)
        finally:
            await connection.close()

    async def checkpoint(self, limit: float = CHECKPOINT) -> None:
        connection = await self.connection()
        try:
            await bounded(connection.execute("CHECKPOINT"), limit)
        finally:
            await connection.close()

    async def close(self) -> None:
        """The agent ends; PostgreSQL goes on."""
        for task in self._background:
            task.cancel()
        await self._observer.disconnect()

    def _conninfo(self, source: Source) -> str:
        """For clone and rewind: under another name than a standby's, whose flush position counts for commits (S3)."""
        return conninfo(source, self._settings, self.layout, f"{self._identity.member}/copy", "postgres")

    async def _stopped(self, verb: str) -> None:
        await self.prepare()
        state = await self._link.state()
        if state.postgres_pid is not None or not state.dead:
            raise PostgresError(f"cannot {verb}: PostgreSQL still lives (a killing pass must be empty first, S1)")

    async def _after_start(self, writable: bool) -> None:
        """A primary needs the replication role."""
        if not writable:
            return
        connection = await self.connection()
        try:
            await self._ensure_roles(connection)
        finally:
            await connection.close()

    async def _ensure_roles(self, connection: Connection) -> None:
        if not self._roles_there:
            await bounded(roles.ensure(connection, self._settings.pooler is not None), QUERY)
            self._roles_there = True

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        async def quietly() -> None:
            try:
                await work
            except (psycopg.Error, TimeoutError, OSError):
                pass  # the next checkpoint comes by itself

        task = asyncio.create_task(quietly())
        self._background.add(task)
        task.add_done_callback(self._background.discard)
