"""The lease under which this voter's position was final, on its volume (S3).

An agent that starts anew must not follow under that lease: what came in then was counted without it.
"""

from __future__ import annotations

import os
from pathlib import Path

from pgherd.model.settings import Settings


def _path(settings: Settings) -> Path:
    return Path(settings.postgres.state_directory) / "cut-off"


def remember(settings: Settings, nonce: str) -> None:
    """Durable (blocking)."""
    path = _path(settings)
    temporary = path.with_suffix(".new")
    with temporary.open("w") as file:
        file.write(nonce)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def remembered(settings: Settings) -> str:
    """The nonce; "" without one."""
    try:
        return _path(settings).read_text()
    except FileNotFoundError:
        return ""
