"""Brings the configuration into the server: at a start, by a reload, and never what PostgreSQL would refuse.

A refused configuration changes nothing: what was in force stays, on disk too, so that the next start works as well.
Lives as long as the agent.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from pgherd.model.parameters import Change, impossible
from pgherd.model.settings import Configuration, Identity, InvalidSetting, PostgresConfiguration, Settings
from pgherd.postgres import accepted, check, configure
from pgherd.postgres.accepted import Accepted
from pgherd.postgres.errors import ToolFailed
from pgherd.postgres.layout import Layout
from pgherd.postgres.link import FenceLink
from pgherd.postgres.sessions import Connection, bounded
from pgherd.postgres.source import Source

T = TypeVar("T")
QUERY = 5.0
PENDING = b"""
SELECT s.name, current_setting(s.name) AS running, coalesce(f.setting, s.boot_val, '') AS configured
  FROM pg_settings AS s
  LEFT JOIN (SELECT DISTINCT ON (lower(name)) lower(name) AS name, setting
               FROM pg_file_settings ORDER BY lower(name), seqno DESC) AS f ON f.name = lower(s.name)
 WHERE s.pending_restart ORDER BY 1"""


class Applier:
    def __init__(self, layout: Layout, settings: Settings, identity: Identity, link: FenceLink) -> None:
        self._layout, self._settings, self._identity, self._link = layout, settings, identity, link
        self._one = asyncio.Lock()
        """Two that write the same file, one after the other."""
        self._files = asyncio.Lock()
        self._failed: dict[str, Any] | None = None
        """Parameters with which the last start failed."""
        self.refused = ""

    async def for_start(self, configuration: Configuration) -> Configuration:
        """What to start with: what is proved, and of what is new only parameters that PostgreSQL takes."""
        known = await asyncio.to_thread(accepted.read, self._layout)
        tried = known.started == configuration.postgresql.parameters
        try:
            problems = [] if tried else await self._parameters(configuration)
        except (ToolFailed, OSError) as error:
            problems = [f"the parameters could not be checked: {error}"]
        usable = accepted.for_start(configuration.postgresql, known, bool(problems), self._failed)
        if problems:
            self.refused = "; ".join(problems)
        elif usable.parameters != configuration.postgresql.parameters:
            self.refused = "PostgreSQL did not start with the configured parameters: it runs with those before"
        return msgspec.structs.replace(configuration, postgresql=usable)

    async def started(self, configuration: Configuration) -> None:
        known = await asyncio.to_thread(accepted.read, self._layout)
        if known.started != configuration.postgresql.parameters:
            new = msgspec.structs.replace(known, started=configuration.postgresql.parameters)
            await asyncio.to_thread(accepted.write, self._layout, new)

    async def failed(self, configuration: Configuration) -> None:
        """PostgreSQL ended while it started: the next start takes the parameters that are known to work, if others."""
        known = await asyncio.to_thread(accepted.read, self._layout)
        if known.started not in (None, configuration.postgresql.parameters):
            self._failed = configuration.postgresql.parameters

    async def reload(self, connection: Connection, configuration: Configuration) -> dict[str, Change]:
        """What waits for a restart afterwards. Raises InvalidSetting, and then nothing is changed."""
        async with self._one:
            problems = await self._parameters(configuration) or await self._rules(connection, configuration)
            if problems:
                self.refused = "; ".join(problems)
                raise InvalidSetting(self.refused)
            places = (self._layout, self._settings, self._identity)
            await self.write(lambda: configure.write(*places, configuration, configure.AS_IT_IS))
            await asyncio.to_thread(self._accept, configuration.postgresql)
            await self._link.signal(signal.SIGHUP)
            await asyncio.sleep(0.1)  # the postmaster reads the files after the signal
        if configuration.postgresql.parameters != self._failed:
            self.refused = ""
        rows = await (await bounded(connection.execute(PENDING), QUERY)).fetchall()
        return {row["name"]: Change(row["running"], row["configured"]) for row in rows}

    async def follow(self, configuration: Configuration, source: Source | None) -> None:
        """Only whom the server follows: the rest is as it was last accepted."""
        bare = PostgresConfiguration(use_slots=configuration.postgresql.use_slots)
        configuration = msgspec.structs.replace(configuration, postgresql=bare)
        async with self._one:
            places = (self._layout, self._settings, self._identity)
            if await self.write(lambda: configure.point(*places, configuration, source)):
                await self._link.signal(signal.SIGHUP)

    async def write(self, work: Callable[[], T]) -> T:
        """Change postgresql.conf in a thread; one after the other, also when a caller gives up: an older
        synchronous_standby_names must not come back (S3)."""

        async def alone() -> T:
            async with self._files:
                return await asyncio.to_thread(work)

        return await asyncio.shield(alone())

    async def _parameters(self, configuration: Configuration) -> list[str]:
        try:
            conf = self._texts(configuration)[configure.CONF]
        except InvalidSetting as error:
            return [str(error)]
        problems = impossible(configuration.postgresql.parameters)
        return problems or await check.parameters(self._layout, conf)

    async def _rules(self, connection: Connection, configuration: Configuration) -> list[str]:
        """Put new rules in place, ask the server what it makes of them, and put the proved ones back if it refuses.

        New is what was not accepted, whatever the files say: an agent may have died between the two.
        """
        known = await asyncio.to_thread(accepted.read, self._layout)
        wanted, proved = configuration.postgresql, known.postgresql
        if proved is not None and (proved.pg_hba, proved.pg_ident) == (wanted.pg_hba, wanted.pg_ident):
            return []
        before = msgspec.structs.replace(configuration, postgresql=accepted.for_start(wanted, known, False, None))
        files, safe = self._texts(configuration), self._texts(before)
        try:
            await asyncio.to_thread(configure.write_rules, self._layout, files)
            problems = await bounded(check.rules(connection, files[configure.HBA], files[configure.IDENT]), QUERY)
        except BaseException:
            await asyncio.to_thread(configure.write_rules, self._layout, safe)
            raise
        if problems:
            await asyncio.to_thread(configure.write_rules, self._layout, safe)
        return problems

    def _texts(self, configuration: Configuration) -> dict[str, str]:
        return configure.texts(self._layout, self._settings, self._identity, configuration, None)

    def _accept(self, postgresql: PostgresConfiguration) -> None:
        known = accepted.read(self._layout)
        accepted.write(self._layout, Accepted(postgresql, known.started))
