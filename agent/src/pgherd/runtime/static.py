"""The static settings' file changes while the agent runs (members are declared or taken out): the agent starts anew.

An agent's end costs no write: PostgreSQL, the fence's deadline and unanswered writes stay as they are. So nothing in
the agent has to cope with settings that change under it. Members end one after the other, the leader last, each while
nothing of its own is under way. A file that cannot work is named and left alone. Lives with the agent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from pgherd.model.knowledge import extended
from pgherd.model.settings import InvalidSetting, Settings
from pgherd.runtime.log import Changing, Log
from pgherd.runtime.state import State

LOOK = 1.0
"""Seconds between two looks at the file."""
TURN = 1.5
"""Seconds from one member's new start to the next one's."""


async def changed(
    state: State, path: Path, text: str, read: Callable[[str], Settings], log: Log, look: float = LOOK
) -> None:
    """Ends when the file is no longer `text`, can be used (`read` raises InvalidSetting else) and it is our turn."""
    trouble = Changing(log, "error", "settings-refused")
    new, seen = "", 0
    while True:
        await asyncio.sleep(look)
        try:
            found = await asyncio.to_thread(path.read_text)
            settings = read(found) if found != text else None
        except (OSError, InvalidSetting) as error:
            trouble(f"the settings before it stay in force: {error}")
            continue
        trouble("")
        if settings is None:
            continue
        if found != new:
            new, seen = found, 0
        if seen * look >= turn(state, settings) * TURN and quiet(state):
            log.info("settings-changed", "the static settings changed: the agent starts anew with them")
            return
        seen += 1


def turn(state: State, settings: Settings) -> int:
    """Replicas in the order of their declaration, then the leader."""
    names, own = settings.members, state.identity.member
    if state.knowledge.held is not None:
        return len(names)
    return names.index(own) if own in names else 0


def quiet(state: State) -> bool:
    """Nothing would be cut short; a copy that takes an hour is waited for.

    A holder's new agent learns from the API that it holds: it begins only while that confirms renewals (S4).
    """
    known, idle = state.knowledge, state.task is None and not state.writing and not state.terminating
    return idle and (known.held is None or not (extended(known) or known.unanswered))
