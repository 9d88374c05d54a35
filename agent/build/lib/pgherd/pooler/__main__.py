"""`python3 -m pgherd.pooler`: PID 1 of a pooler's container. It ends when PgBouncer does, and never before."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import signal
import sys
import time
from functools import partial
from pathlib import Path

from pgherd.model.settings import InvalidSetting, RestSettings
from pgherd.pooler import server
from pgherd.pooler.app import build
from pgherd.pooler.pausing import Pausing
from pgherd.pooler.settings import PoolerSettings, read_settings
from pgherd.rest.certificates import Live
from pgherd.rest.server import serve
from pgherd.runtime.log import Changing, Log
from pgherd.tls.pair import Unusable, Usage
from pgherd.tls.take import take

DEFAULT_SETTINGS = "/etc/pgbouncer/pooler.yaml"
LOOK = 5.0
"""Seconds between two looks at the files."""
LIMIT = 2.0
"""Seconds for one question to the server."""
DRAIN = 20.0
"""Seconds that clients get to leave when the pod ends."""
UNUSABLE = 2


async def reload(settings: PoolerSettings, bouncer: asyncio.subprocess.Process, live: Live, log: Log) -> None:
    """For ever: PgBouncer reads its files again when they changed, and only certificates that prove themselves."""
    configuration = Path(settings.configuration).parent
    trouble, loaded = Changing(log, "warning", "certificate-refused"), texts(configuration)
    while True:
        await asyncio.sleep(LOOK)
        changed = False
        try:
            changed = take_certificates(settings)
            trouble("")
        except (Unusable, OSError) as error:
            trouble(f"what is mounted in {settings.certificates} is not used: {error}")
        if changed:
            live.load()
        found = texts(configuration)
        if changed or found != loaded:
            loaded = found
            with contextlib.suppress(ProcessLookupError):
                bouncer.send_signal(signal.SIGHUP)
            log.info("reload", f"{'certificates' if changed else 'settings'} changed: PgBouncer reads them again")


def take_certificates(settings: PoolerSettings) -> bool:
    """Whether there were others to take. Raises Unusable, and then those in use stay."""
    return take(Path(settings.certificates), Path(settings.used_certificates), Usage.SERVER | Usage.CLIENT)


def texts(folder: Path) -> tuple[bytes, ...]:
    """What PgBouncer can read again."""
    return tuple(each.read_bytes() for each in sorted(folder.iterdir()) if each.is_file() and each.suffix != ".yaml")


async def end(bouncer: asyncio.subprocess.Process, log: Log) -> None:
    """As kubelets end a pod: no new clients, those that are there may leave, then the rest is cut off."""
    log.info("ending", f"no new clients; those that are connected have {DRAIN:g} s to leave")
    for sign, limit in ((signal.SIGTERM, DRAIN), (signal.SIGINT, 3.0), (signal.SIGQUIT, 3.0), (signal.SIGKILL, 3.0)):
        with contextlib.suppress(ProcessLookupError):
            bouncer.send_signal(sign)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(bouncer.wait()), limit)
            return


async def run(settings: PoolerSettings, log: Log) -> int:
    """Until PgBouncer has ended; its exit status."""
    user = pwd.getpwuid(os.geteuid()).pw_name
    live = Live(Path(settings.used_certificates))
    bouncer = await asyncio.create_subprocess_exec(settings.program, settings.configuration)

    async def console(command: str) -> None:
        if command == "RESUME":
            return await server.resume(settings, user)
        return await server.console(settings, command, user)

    pausing = Pausing(
        console, partial(server.writable, settings, LIMIT), time.monotonic, lambda text: log.info("pause", text)
    )
    rest = RestSettings(port=settings.rest_port, certificates=settings.certificates, listen=settings.listen)
    served = serve(build(pausing, settings.pausable), rest, live, lambda text: log.warning("rest", text))
    beside = [asyncio.create_task(reload(settings, bouncer, live, log)), asyncio.create_task(served)]
    ending: list[asyncio.Task[None]] = []
    asyncio.get_running_loop().add_signal_handler(
        signal.SIGTERM, lambda: ending.append(asyncio.create_task(end(bouncer, log)))
    )
    waiting = asyncio.create_task(bouncer.wait())
    await asyncio.wait({waiting, *beside}, return_when=asyncio.FIRST_COMPLETED)
    if not waiting.done():  # one of the tasks failed: without it the pool is not what was promised
        await end(bouncer, log)
    for task in beside:
        task.cancel()
    for result in await asyncio.gather(*beside, return_exceptions=True):
        if isinstance(result, InvalidSetting):
            raise result
        if isinstance(result, Exception):
            log.error("crashed", f"{type(result).__name__}: {result}")
    return 0 if ending else await waiting or 1


def main() -> int:
    log = Log(os.environ.get("PGHERD_MEMBER", ""))
    path = Path(os.environ.get("PGHERD_SETTINGS", DEFAULT_SETTINGS))
    try:
        try:
            settings = read_settings(path.read_text())
        except OSError as error:
            raise InvalidSetting(f"PGHERD_SETTINGS={path}: {error.strerror}") from None
        Path(settings.socket_directory).mkdir(mode=0o700, parents=True, exist_ok=True)
        take_certificates(settings)
        return asyncio.run(run(settings, log))
    except (InvalidSetting, Unusable, OSError) as error:
        log.error("cannot-run", str(error))
        return UNUSABLE


if __name__ == "__main__":
    sys.exit(main())
