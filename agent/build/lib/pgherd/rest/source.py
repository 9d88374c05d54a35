"""What the REST API knows: values that the agent has in memory. Handlers do no I/O of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from pgherd.model.access import Report
from pgherd.model.lease import Lease
from pgherd.model.member import MemberStatus, Peer
from pgherd.model.metrics import Sample
from pgherd.model.promises import Question, Verdict
from pgherd.model.settings import Configuration

Promiser = Callable[[Question], Verdict]
"""Gives a promise, or says why not; returns at once."""
Measure = Callable[[], Awaitable[Iterable[Sample]]]
"""PostgreSQL's own statistics, bounded: for `/metrics`."""


class StatusSource(Protocol):
    """The agent, as the API sees it. Everything but `refresh` returns at once."""

    @property
    def cluster_name(self) -> str: ...

    @property
    def address(self) -> str:
        """Own pod IP."""

    @property
    def configuration(self) -> Configuration:
        """The dynamic configuration in force."""

    def stored(self) -> Mapping[str, Any]:
        """The dynamic configuration as people wrote it, in force or not; empty where it cannot be read."""

    async def refresh(self) -> None:
        """Look at PostgreSQL again unless that was done just now: `/member` decides elections, so it must be fresh.

        The app waits for it at most `app.REFRESH` seconds and then answers with what is known.
        """

    def member(self) -> MemberStatus:
        """This member's own words."""

    def lease(self) -> Lease | None:
        """The newest record of the lock that this member has read; None when it is missing or malformed."""

    def peers(self) -> Sequence[Peer]:
        """The other members, as far as this one knows them."""

    @property
    def history_known(self) -> bool:
        """Whether the history was read since this agent started: before that, none is no news."""

    def history(self) -> list[Any]:
        """The receipts of annotation `history`, newest last."""

    def access(self) -> Report | None:
        """What became of declared users and databases, while this member keeps them."""

    def streamed_ago(self) -> float | None:
        """Seconds since this server was last seen streaming from a holder (health.streams_from_holder); None: never."""

    @property
    def members(self) -> int:
        """How many are declared."""

    def lease_age(self) -> float | None:
        """Seconds since the newest record was sent (its holder) or first seen (the others); None without one."""

    def counts(self) -> Iterable[Sample]:
        """What this agent has done since it started."""

    def decided_ago(self) -> float:
        """Seconds since the last decision ended."""
