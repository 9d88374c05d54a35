"""Keeps declared users and databases as declared, while this member is the primary. Lives with the agent.

While KeepPrimary is ordered it follows the declaration and the Secrets that this names, each on a watch of its own, and
works on every change at once: a changed Secret is applied within a second. Every twenty seconds it looks whether
somebody has changed a role or a database by hand, puts back what is declared, and says so. A new primary begins with
everything, so what was changed while there was none is applied, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import msgspec

from pgherd.access import Done, Outcome, Passwords
from pgherd.kubernetes.store import Conflict, Stores, UsersSeen
from pgherd.model.access import (
    Code,
    Declared,
    Drift,
    Report,
    SecretSeen,
    read_declared,
    read_report,
    revision,
    write_report,
)
from pgherd.model.settings import InvalidSetting
from pgherd.postgres.sessions import bounded
from pgherd.runtime.log import Changing, Log, wall
from pgherd.runtime.ports import Postgres
from pgherd.runtime.state import State
from pgherd.runtime.waiting import Bell

Apply = Callable[[Any, Declared, Mapping[str, SecretSeen | None], Passwords, bool], Coroutine[Any, Any, Outcome]]
"""(connection, declared, Secrets by name, what is known of passwords, whether databases are entered)."""

LIMIT = 3.0
"""Seconds for a request to the API."""
PASS = 600.0
"""Seconds for one pass: dropping or giving away much takes its time, and holds nothing up."""
GATHER = 0.1
"""Seconds in which news that come together are taken together."""
AGAIN = 20.0
"""Seconds after which changes by hand are looked for."""
INSIDE_EVERY = 15
"""Of so many looks one enters every database, which takes a connection to each."""
RETRY = 5.0
CONFLICT = 1.0
DRIFTS = 10
"""Changes by hand that the report remembers."""
SLEEP = 60.0


class Basis(msgspec.Struct, frozen=True):
    """What a pass went by. If nothing of it changed since, what differs was changed by hand."""

    epoch: int
    text: str
    secrets: tuple[tuple[str, str], ...]


class Access:
    def __init__(self, state: State, server: Postgres, stores: Stores, apply: Apply, log: Log) -> None:
        self._state, self._server, self._stores, self._apply = state, server, stores, apply
        self._log = log
        self._trouble = Changing(log, "warning", "users")
        self._wrong = Changing(log, "warning", "users-wrong")
        self._passwords = Passwords()
        self._ordered = False
        self._wake = Bell()
        self._news = Bell()
        self._forget()

    def _forget(self) -> None:
        """Whatever was known belongs to an earlier time as primary."""
        self._seen: UsersSeen | None = None
        self._secrets: dict[str, SecretSeen | None] = {}
        self._basis: Basis | None = None
        self._report: Report | None = None
        self._drift: tuple[Drift, ...] = ()
        self._repaired = 0
        self._looks = 0
        self._state.access = None

    def order(self) -> None:
        if not self._ordered:
            self._ordered = True
            self._wake.ring()

    def stop(self) -> None:
        """No longer a primary: start anew next time."""
        if self._ordered:
            self._ordered = False
            self._wake.ring()

    async def run(self) -> None:
        while True:
            await self._wake.wait(SLEEP)
            if self._ordered:
                self._forget()
                await self._as_primary()
                self._forget()

    async def _as_primary(self) -> None:
        """Until it is ordered no longer."""
        async with asyncio.TaskGroup() as group:
            follow, keep = group.create_task(self._follow()), group.create_task(self._keep())
            while self._ordered:
                await self._wake.wait(SLEEP)
            follow.cancel()
            keep.cancel()

    async def _follow(self) -> None:
        """News of the declaration, and a task for each Secret that it names."""
        tasks: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            async for seen in self._stores.users.follow():
                if self._report is None:
                    self._take_up(seen)
                if self._seen is None or seen.text != self._seen.text:
                    self._news.ring()
                self._seen = seen
                wanted = {user.secret for user in self._declared(seen).users if user.secret}
                for name in wanted - tasks.keys():
                    tasks[name] = group.create_task(self._follow_secret(name), name=f"secret {name}")
                for name in tasks.keys() - wanted:
                    tasks.pop(name).cancel()
                    self._secrets.pop(name, None)

    def _take_up(self, seen: UsersSeen) -> None:
        """What the primary before had counted goes on."""
        before = read_report(seen.report)
        if before is not None:
            self._drift, self._repaired = before.drift, before.repaired

    async def _follow_secret(self, name: str) -> None:
        async for seen in self._stores.secrets.follow(name):
            if name not in self._secrets or self._secrets[name] != seen:
                self._secrets[name] = seen
                self._news.ring()

    @staticmethod
    def _declared(seen: UsersSeen) -> Declared:
        """Nothing where it cannot be read: `_keep` says why."""
        try:
            return read_declared(seen.text) if seen.text else Declared()
        except InvalidSetting:
            return Declared()

    async def _keep(self) -> None:
        pause = SLEEP
        while True:
            if await self._news.wait(pause):
                await asyncio.sleep(GATHER)
            seen = self._seen
            if seen is None or not seen.text:
                self._state.access, pause = None, SLEEP
                continue
            try:
                pause = await self._once(seen)
                await self._publish()
                self._trouble("")
            except Conflict:
                pause = CONFLICT  # the watch brings the newer one
            except Exception as error:  # PostgreSQL may end at any moment, the API be away
                self._trouble(f"users and databases will be tried again: {type(error).__name__}: {error}")
                pause = RETRY

    async def _once(self, seen: UsersSeen) -> float:
        """One pass; seconds until the next one without news."""
        try:
            declared = read_declared(seen.text)
        except InvalidSetting as error:
            self._say(Report(revision(seen.text), trouble=str(error)))
            return SLEEP
        secrets = {user.secret: self._secrets.get(user.secret) for user in declared.users if user.secret}
        record = self._state.knowledge.record
        versions = tuple(sorted((name, found.version if found else "") for name, found in secrets.items()))
        basis = Basis(record.epoch if record else 0, seen.text, versions)
        wrong = self._report.wrong if self._report is not None else {}
        settled = basis == self._basis
        inside = not settled or bool(wrong) or self._looks % INSIDE_EVERY == 0
        self._looks += 1
        connection = await self._server.connection()
        try:
            work = self._apply(connection, declared, secrets, self._passwords, inside)
            outcome = await bounded(work, PASS)
        finally:
            await connection.close()
        report = Report(revision(seen.text), users=outcome.users, databases=outcome.databases)
        # What was wrong before and went well now was put right, not put back.
        by_hand = [each for each in outcome.done if settled and each.about not in wrong]
        self._note([each for each in outcome.done if each not in by_hand], by_hand)
        self._say(report)
        self._basis = basis
        return RETRY if any(said.code is Code.TRYING for said in report.wrong.values()) else AGAIN

    def _note(self, ordered: Sequence[Done], by_hand: Sequence[Done]) -> None:
        if ordered:
            self._log.info("users", "; ".join(each.text for each in ordered))
        if by_hand:
            at = wall()
            self._drift = (*self._drift, *(Drift(at, each.text) for each in by_hand))[-DRIFTS:]
            self._repaired += len(by_hand)
            texts = "; ".join(each.text for each in by_hand)
            self._log.warning("user-drift", f"changed by hand and put back as declared: {texts}")

    def _say(self, report: Report) -> None:
        """Into the state, and what is wrong into the log, once."""
        member = self._state.identity.member
        self._report = msgspec.structs.replace(
            report, member=member, repaired=self._repaired, drift=self._drift
        )  # fmt: skip
        self._state.access = self._report
        wrong = [f"{name}: {said.code.value}: {said.text}" for name, said in self._report.wrong.items()]
        self._wrong("; ".join([report.trouble] if report.trouble else wrong))

    async def _publish(self) -> None:
        """Level-triggered, and never over another's word: by compare-and-swap."""
        seen, report = self._seen, self._report
        if seen is None or report is None or read_report(seen.report) == report:
            return
        self._seen = await self._stores.users.report(write_report(report), seen.version, LIMIT)
