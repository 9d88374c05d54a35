"""What this member says of itself and of its cluster over REST (rest.source.StatusSource): the state, read only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from pgherd import __version__
from pgherd.model import knowledge as k
from pgherd.model.access import Report
from pgherd.model.lease import Lease
from pgherd.model.member import MemberStatus, Peer
from pgherd.model.metrics import Sample
from pgherd.model.server import Process, Server
from pgherd.model.settings import Configuration, InvalidSetting
from pgherd.postgres.change import document
from pgherd.runtime.observer import Observer
from pgherd.runtime.ports import Clock
from pgherd.runtime.seen import timeless
from pgherd.runtime.state import State

FRESH = 0.1
"""Seconds: an answer rests on a look at PostgreSQL that is no older (elections compare positions)."""


def role(server: Server, leads_standbys: bool = False) -> str:
    if server.process is not Process.RUNNING:
        return "none"
    return "primary" if server.primary else "standby_leader" if leads_standbys else "replica"


class Status:
    def __init__(self, state: State, observer: Observer, clock: Clock) -> None:
        self._state, self._observer, self._clock = state, observer, clock

    async def refresh(self) -> None:
        """Look at PostgreSQL again unless that was done just now."""
        await self._observer.fresh(FRESH)

    def member(self) -> MemberStatus:
        state, now = self._state, self._clock()
        server, known = state.server or Server(), state.knowledge
        return MemberStatus(
            member=state.identity.member,
            uid=state.identity.uid,
            state=state.task.kind.value if state.task else server.process.value,
            role=role(server, state.leads_standbys),
            system_identifier=server.system_identifier,
            incarnation=server.incarnation,
            has_data=server.data.value != "empty",
            position=server.position,
            replayed=server.replayed,
            history=server.history,
            streaming_from=server.following if server.streaming else None,
            receiver_timeline=server.receiver_timeline,
            holds_until=max(0.0, min(k.expires(known) - now, known.held.ttl)) if known.held is not None else 0.0,
            failsafe=k.extended(known),
            promised_until=max(0.0, k.promised_away(known) - now),
            epoch_seen=known.record.epoch if known.record else known.highest_epoch,
            nonce_seen=known.record.nonce if known.record else "",
            epoch_tried=max((attempt.epoch for attempt in known.unanswered), default=0),
            lease_seen=timeless(known.last) if known.last is not None else None,
            terminating=state.terminating,
            server_version=server.server_version,
            free=server.free,
            reason=state.reason.text,
            code=state.reason.code,
            version=__version__,
            pending_restart=dict(server.pending_restart),
            limits=dict(server.limits),
            refused=state.refused or server.refused,
            slots=dict(state.slots.states),
            slots_waiting=state.slots.waiting if server.streaming else (),
            tags=state.tags.get(state.identity.member, {}),
            cut_off=state.cut_off,
            certificates=state.certificates,
        )

    @property
    def cluster_name(self) -> str:
        return self._state.settings.cluster

    @property
    def address(self) -> str:
        return self._state.identity.address

    def lease(self) -> Lease | None:
        return self._state.knowledge.record

    def peers(self) -> tuple[Peer, ...]:
        return self._state.peers()

    def access(self) -> Report | None:
        return self._state.access

    def streamed_ago(self) -> float | None:
        """Seconds since this server was last seen streaming; None when it never was."""
        streamed = self._state.streamed
        return None if streamed is None else max(0.0, self._clock() - streamed)

    @property
    def members(self) -> int:
        return len(self._state.settings.members)

    def lease_age(self) -> float | None:
        known = self._state.knowledge
        if known.record is None:
            return None
        return max(0.0, self._clock() - (k.renewed_at(known) if known.held is not None else known.first_seen))

    def counts(self) -> Iterable[Sample]:
        return self._state.tally.samples()

    def decided_ago(self) -> float:
        return self._clock() - self._state.decided

    @property
    def history_known(self) -> bool:
        return self._state.config_seen is not None and bool(self._state.config_seen.version)

    def history(self) -> list[Any]:
        text = self._state.config_seen.history if self._state.config_seen else None
        try:
            found = msgspec.json.decode(text) if text else []
        except msgspec.MsgspecError:
            return []
        return found if isinstance(found, list) else []

    @property
    def configuration(self) -> Configuration:
        return self._state.configuration

    def stored(self) -> dict[str, Any]:
        text = self._state.config_seen.config if self._state.config_seen else None
        try:
            return document(text, "annotation config")
        except InvalidSetting:
            return {}
