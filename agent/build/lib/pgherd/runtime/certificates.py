"""The member's certificates: taken when the mounted ones change, brought into use, and published when that is seen.

One loop, which lives with the agent. It looks every second: nine stat calls cost less than a watch of folders that the
kubelet replaces. Files that do not prove themselves, and those that were taken and are not in use, are tried again
every AGAIN seconds; meanwhile those before stay in use, and `refused` says why.

What is in use is an annotation of the own pod: the play reads it, which reaches Kubernetes only, before it goes on from
one phase of replacing an authority to the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pgherd.kubernetes.store import PodStore, StoreError
from pgherd.model.certificate import REPLICATION, REST, SERVER, CertificateState
from pgherd.model.server import Process
from pgherd.postgres.layout import Layout
from pgherd.postgres.server import PostgresServer
from pgherd.rest.certificates import Live
from pgherd.runtime.log import Changing, Log
from pgherd.runtime.ports import Clock
from pgherd.runtime.state import State
from pgherd.runtime.tasks import NoSource, Tasks
from pgherd.tls.pair import Signature, Unusable, Usage, facts, signature
from pgherd.tls.take import take

LOOK = 1.0
AGAIN = 10.0
USE = 20.0
"""Seconds for bringing one kind into use."""
LIMIT = 3.0
"""Seconds for a request to the API."""
ANNOTATION = "certificates"


@dataclass(frozen=True)
class Kind:
    """One certificate of this member: where it is mounted, where it is used from, and how others come to see it."""

    name: str
    source: Path
    target: Path
    usage: Usage
    use: Callable[[CertificateState, bool], Awaitable[None]]
    """(what was taken, whether it is the agent's first look) -> new connections use it. Raises when they do not."""
    withheld: Callable[[], bool] = lambda: False
    """Whether the copy must stay away for now."""


def kinds(state: State, server: PostgresServer, layout: Layout, tasks: Tasks, rest: Live) -> tuple[Kind, ...]:
    """Those of a PostgreSQL member."""

    async def serve(taken: CertificateState, first: bool) -> None:
        await server.serve_certificate(taken.serves)

    async def replicate(taken: CertificateState, first: bool) -> None:
        seen = state.server
        if first or seen is None or seen.primary or seen.process is not Process.RUNNING or seen.following is None:
            return  # the next connection uses it
        try:
            source = tasks.source(seen.following)
        except NoSource:
            return
        if source is not None:
            await server.reconnect(source)

    async def answer(taken: CertificateState, first: bool) -> None:
        rest.load()

    mounted = Path(state.settings.rest.certificates)
    return (
        Kind(SERVER, layout.certificates, layout.served, Usage.SERVER, serve),
        Kind(
            REPLICATION, layout.certificates / "replication", layout.keys, Usage.CLIENT, replicate,
            lambda: server.withheld,
        ),
        Kind(REST, mounted, rest.folder, Usage.SERVER | Usage.CLIENT, answer),
    )  # fmt: skip


class Certificates:
    def __init__(self, state: State, pods: PodStore, kinds: Sequence[Kind], clock: Clock, log: Log) -> None:
        self._state, self._pods, self._kinds, self._clock, self._log = state, pods, kinds, clock, log
        self._trouble = {kind.name: Changing(log, "warning", "certificate-refused") for kind in kinds}
        self._seen: dict[str, Signature] = {}
        self._again: dict[str, float] = {}
        self._used: dict[str, CertificateState] = {}
        self._published: dict[str, CertificateState] = {}
        self._unpublished = Changing(log, "warning", "certificates-unpublished")
        self._publish_at = 0.0

    async def run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(LOOK)

    async def look(self) -> None:
        """One pass."""
        for kind in self._kinds:
            await self._look(kind)
        await self._publish()

    async def _look(self, kind: Kind) -> None:
        seen, again = signature(kind.source), self._again.get(kind.name)
        changed = seen != self._seen.get(kind.name)
        if kind.withheld() or not (changed or (again is not None and self._clock() >= again)):
            return
        self._seen[kind.name] = seen
        refused = await self._bring(kind)
        used = self._used.get(kind.name, CertificateState())
        shown = msgspec.structs.replace(used, refused=refused or used.refused)
        self._again.pop(kind.name, None)
        if shown.refused:
            self._again[kind.name] = self._clock() + AGAIN
        words = f"{kind.name}: the certificate in {kind.source}: {shown.refused}"
        self._trouble[kind.name](words if shown.refused else "")
        self._state.certificates = {**self._state.certificates, kind.name: shown}

    async def _bring(self, kind: Kind) -> str:
        """Take what is mounted and bring it into use; why it is not, or nothing."""
        refused = ""
        try:
            # In the event loop on purpose: who withholds the replication key must not be overtaken by a thread (S3).
            take(kind.source, kind.target, kind.usage)
        except (Unusable, OSError) as error:
            refused = str(error)
        taken = facts(kind.target, kind.usage)
        before = self._used.get(kind.name)
        if not taken.serves or taken == before:
            return refused
        try:
            async with asyncio.timeout(USE):
                await kind.use(taken, before is None)
        except Exception as error:  # PostgreSQL may end at any moment; what is in use stays in use
            return refused or f"{type(error).__name__}: {error}"
        self._used[kind.name] = taken
        if not taken.refused:
            self._log.info("certificate-taken", f"{kind.name}: new connections use {taken.serves[:16]}")
        return refused

    async def _publish(self) -> None:
        known = self._state.certificates
        if known == self._published or self._clock() < self._publish_at:
            return
        text = msgspec.json.encode(known).decode()
        try:
            name = f"{self._state.settings.label_prefix}{ANNOTATION}"
            await self._pods.annotate(self._state.identity.member, name, text, LIMIT)
            self._published = known
            self._unpublished("")
        except StoreError as error:
            self._publish_at = self._clock() + LIMIT
            self._unpublished(f"the annotation {ANNOTATION} was not set: {error}")
