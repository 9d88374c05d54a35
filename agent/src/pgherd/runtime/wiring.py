"""Makes an agent out of the layers. The only place that knows all of them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from pgherd import access
from pgherd.decide import decide
from pgherd.kubernetes.open import open_stores
from pgherd.model.mapping import boottime
from pgherd.model.settings import Identity, InvalidSetting, Settings
from pgherd.postgres.layout import Layout
from pgherd.postgres.link import FenceLink
from pgherd.postgres.server import PostgresServer
from pgherd.rest import poolers
from pgherd.rest.app import build
from pgherd.rest.certificates import Live
from pgherd.rest.client import PeerClient
from pgherd.rest.server import serve
from pgherd.runtime.agent import Agent, Parts
from pgherd.runtime.asking import asker
from pgherd.runtime.certificates import Certificates, kinds
from pgherd.runtime.configuring import changer
from pgherd.runtime.container import Container, pid1_start
from pgherd.runtime.log import Changing, Log
from pgherd.runtime.pooling import Ask as Hold
from pgherd.runtime.state import State
from pgherd.runtime.status import Status
from pgherd.runtime.tasks import Tasks
from pgherd.tls.pair import FILES, Unusable, Usage
from pgherd.tls.take import take

SILENCE = 1.5
"""Seconds beyond `loop_wait` (one renewal) that the lock's watch may be silent before the lock is read."""


def wire(settings: Settings, identity: Identity, link: FenceLink, run: Path, log: Log) -> Agent:
    """One member's agent over the real API server, PostgreSQL and fence."""
    rest_trouble = Changing(log, "warning", "rest")
    agent: Agent

    def silence() -> float:
        return agent.state.configuration.loop_wait + SILENCE

    server = PostgresServer(settings, identity, link, report=lambda text: log.info("copy", text))
    stores = open_stores(settings, identity, silence, lambda: Changing(log, "warning", "kubernetes"))
    tls = rest_tls(settings, server.layout)

    async def serve_rest(status: Status) -> None:
        asking = asker(agent.requests, identity.member, time.time)
        change = changer(agent.state, parts.stores.config, log)
        app = build(status, agent.promises.answer, asking, change, server.statistics, settings.postgres.port)
        await serve(app, settings.rest, tls, rest_trouble)

    async def certify(state: State, tasks: Tasks) -> None:
        await Certificates(state, stores.pods, kinds(state, server, server.layout, tasks, tls), boottime, log).run()

    rest = (settings.cluster, tls.folder, settings.rest.port)
    parts = Parts(
        stores=stores,
        fence=link,
        server=server,
        decide=decide,
        ask=PeerClient(*rest).ask,
        ask_promises=PeerClient(*rest).ask_promises,
        apply=access.apply,
        serve=serve_rest,
        certify=certify,
        hold=_hold(settings, tls),
    )
    key, started = pid1_start()
    agent = Agent(settings, identity, parts, Container(run, key, started), run, log, boottime)
    return agent


def rest_tls(settings: Settings, layout: Layout) -> Live:
    """The API's certificates, taken from where they are mounted. Raises InvalidSetting when there are none to use."""
    mounted, target = Path(settings.rest.certificates), layout.temporary / "rest"
    try:
        take(mounted, target, Usage.SERVER | Usage.CLIENT)
    except (Unusable, OSError) as error:
        if not (target / FILES[0]).exists():
            raise InvalidSetting(f"rest.certificates={str(mounted)!r}: {error}") from None
    return Live(target)


def _hold(settings: Settings, tls: Live) -> Hold | None:
    if settings.pooler is None:
        return None
    port = settings.pooler.rest_port

    async def hold(addresses: Mapping[str, str], limit: float) -> Mapping[str, str]:
        return await poolers.pause(addresses, settings.cluster, port, tls.folder, limit)

    return hold
