"""`python3 -m pgherd.runtime`: the agent, started by the fence."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from pgherd.model.settings import Identity, InvalidSetting, Settings, read_settings
from pgherd.postgres.errors import FenceRefused, FenceSilent
from pgherd.postgres.link import FenceLink
from pgherd.runtime.log import Changing, Log

DEFAULT_SETTINGS = "/etc/pgherd/pgherd.yaml"
DEFAULT_RUN = "/run/pgherd"
UNUSABLE = 2
"""Exit status: the settings cannot work, a person must act."""


def read_identity(environ: Mapping[str, str]) -> Identity:
    """From the downward API's variables. Raises InvalidSetting naming the missing one."""

    def need(name: str) -> str:
        value = environ.get(name)
        if not value:
            raise InvalidSetting(f"environment variable {name} is not set (expected from the pod's downward API)")
        return value

    return Identity(
        member=need("PGHERD_MEMBER"),
        namespace=need("PGHERD_NAMESPACE"),
        uid=need("PGHERD_POD_UID"),
        address=need("PGHERD_POD_IP"),
        node=environ.get("PGHERD_NODE", ""),
    )


def settings_path(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("PGHERD_SETTINGS", DEFAULT_SETTINGS))


def load_settings(path: Path) -> str:
    """The text of the settings' file. Raises InvalidSetting."""
    try:
        return path.read_text()
    except OSError as error:
        raise InvalidSetting(f"PGHERD_SETTINGS={path}: {error.strerror}") from None


def settings_for(text: str, member: str) -> Settings:
    """The settings with this member among the members. Raises InvalidSetting.

    One that is declared no longer, and has data, counts itself in: it may be the leader, which hands over to members
    that it has to know before it is taken away. One without data never begins.
    """
    settings = read_settings(text)
    if member in settings.members:
        return settings
    data = Path(settings.postgres.data_directory)
    if data.is_dir() and any(data.iterdir()):
        return msgspec.structs.replace(settings, members=(*settings.members, member))
    raise InvalidSetting(
        f"members: {member!r} (this pod) is not among the declared members {', '.join(settings.members)}"
    )


def installed_majors() -> str:
    there = sorted({path.parent.parent.name for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")})
    return f"this image has {', '.join(there) or 'none'}"


async def check_major(settings: Settings) -> None:
    """Refuse a PostgreSQL major that the image lacks, naming both. Raises InvalidSetting."""
    wanted, folder, has = settings.postgres.version, Path(settings.postgres.bin_directory), installed_majors()
    try:
        process = await asyncio.create_subprocess_exec(
            str(folder / "postgres"), "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        async with asyncio.timeout(10.0):
            output, _ = await process.communicate()
    except (OSError, TimeoutError) as error:
        raise InvalidSetting(f"postgres.version={wanted}: no PostgreSQL in {folder} ({error}); {has}") from None
    found = re.search(r"\d+", output.decode())
    if found is None or int(found.group()) != wanted:
        what = found.group() if found else output.decode().strip()
        raise InvalidSetting(f"postgres.version={wanted}: {folder} holds PostgreSQL {what}; {has}")


async def take_volume(link: FenceLink, settings: Settings, log: Log) -> None:
    """The volume's lock, before anything looks at the data: until an earlier container has let go of it."""
    from pgherd.postgres.layout import Layout

    layout, trouble = Layout(settings.postgres), Changing(log, "warning", "volume-busy")
    layout.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        link.beat()
        try:
            return await link.lock_volume(str(layout.lock), str(layout.data))
        except FenceRefused as error:
            trouble(f"waiting for the data volume: {error}")
        await asyncio.sleep(0.2)


async def run(environ: Mapping[str, str], log: Log) -> int:
    from pgherd.runtime.published import digest
    from pgherd.runtime.static import changed
    from pgherd.runtime.wiring import wire

    link = FenceLink.open(environ)
    link.beat()
    identity = read_identity(environ)
    path = settings_path(environ)
    text = load_settings(path)
    settings = settings_for(text, identity.member)
    await check_major(settings)
    await take_volume(link, settings, log)
    agent = wire(settings, identity, link, Path(environ.get("PGHERD_RUN", DEFAULT_RUN)), log)
    agent.state.settings_digest = digest(text)
    await agent.run(changed(agent.state, path, text, lambda new: settings_for(new, identity.member), log))
    log.info("ended", "the agent has ended")
    return 0


def main() -> int:
    log = Log(os.environ.get("PGHERD_MEMBER", ""))
    try:
        return asyncio.run(run(os.environ, log))
    except (InvalidSetting, FenceSilent) as error:
        log.error("cannot-run", str(error))
        return UNUSABLE
    except Exception as error:
        log.error("crashed", f"{type(error).__name__}: {error}", trace=_trace(error))
        return 1


def _trace(error: BaseException) -> list[str]:
    import traceback

    return [line for part in traceback.format_exception(error) for line in part.rstrip().splitlines()]


if __name__ == "__main__":
    sys.exit(main())
