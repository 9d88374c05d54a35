"""Identity and the last valid configuration, on the volume: what stays in force when their object is gone.

An agent that starts while the object is missing would decide by defaults otherwise: the leader of a standby cluster
would be promoted, and who is far behind elected.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import msgspec

from pgherd.kubernetes.store import ConfigSeen
from pgherd.model.settings import InvalidSetting
from pgherd.runtime.log import Log
from pgherd.runtime.state import State


class ConfigKept:
    def __init__(self, state: State, log: Log) -> None:
        self._state, self._log = state, log
        self._path = Path(state.settings.postgres.state_directory) / "configuration.json"
        self._kept: ConfigSeen | None = None
        self._task: asyncio.Task[None] | None = None

    def inherit(self) -> None:
        """What an earlier agent kept."""
        try:
            self._kept = msgspec.json.decode(self._path.read_bytes(), type=ConfigSeen)
        except FileNotFoundError:
            return
        except (OSError, UnicodeDecodeError, msgspec.MsgspecError) as error:
            self._log.warning("configuration-kept", f"{self._path} is not readable: {error}")
            return
        try:
            self._state.inherit_config(self._kept)
        except InvalidSetting as error:
            self._log.warning("configuration-kept", f"{self._path} is of another version: {error}")

    def check(self) -> None:
        """Write what is in force when it has changed; a failure is tried again with the next decision."""
        wanted = self._state.in_force()
        if wanted is not None and wanted != self._kept and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._write(wanted), name="configuration-kept")

    async def _write(self, wanted: ConfigSeen) -> None:
        try:
            await asyncio.to_thread(_durable, self._path, msgspec.json.encode(wanted))
            self._kept = wanted
        except OSError as error:
            self._log.warning("configuration-kept", f"cannot keep the configuration on the volume: {error}")


def _durable(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(".new")
    temporary.touch(mode=0o600)
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
