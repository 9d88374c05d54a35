"""Makes an agent out of the layers. The only place that knows all of them."""

from __future__ import annotations

import time
from pathlib import Path

from pgherd import access
from pgherd.decide import decide
from pgherd.kubernetes.open import open_stores
from pgherd.model.mapping import boottime
from pgherd.model.settings import Identity, Settings
from pgherd.postgres.link import FenceLink
from pgherd.postgres.server import PostgresServer
from pgherd.rest.app import build
from pgherd.rest.client import PeerClient
from pgherd.rest.server import serve
from pgherd.runtime.agent import Agent, Parts
from pgherd.runtime.asking import asker
from pgherd.runtime.configuring import changer
from pgherd.runtime.container import Container, pid1_start
from pgherd.runtime.log import Changing, Log
from pgherd.runtime.status import Status

SILENCE = 1.5
"""Seconds beyond `loop_wait` (one renewal) that the lock's watch may be silent before the lock is read."""


def wire(settings: Settings, identity: Identity, link: FenceLink, run: Path, log: Log) -> Agent:
    """One member's agent over the real API server, PostgreSQL and fence."""
    rest_trouble = Changing(log, "warning", "rest")
    agent: Agent

    def silence() -> float:
        return agent.state.configuration.loop_wait + SILENCE

    async def serve_rest(status: Status) -> None:
        asking = asker(agent.requests, identity.member, time.time)
        change = changer(agent.state, parts.stores.config, log)
        app = build(status, agent.promises.answer, asking, change, settings.postgres.port)
        await serve(app, settings.rest, rest_trouble)

    rest = (settings.cluster, settings.rest.certificates, settings.rest.port)
    parts = Parts(
        stores=open_stores(settings, identity.namespace, silence, lambda: Changing(log, "warning", "kubernetes")),
        fence=link,
        server=PostgresServer(settings, identity, link, report=lambda text: log.info("copy", text)),
        decide=decide,
        ask=PeerClient(*rest).ask,
        ask_promises=PeerClient(*rest).ask_promises,
        apply=access.apply,
        serve=serve_rest,
    )
    key, started = pid1_start()
    agent = Agent(settings, identity, parts, Container(run, key, started), run, log, boottime)
    return agent
