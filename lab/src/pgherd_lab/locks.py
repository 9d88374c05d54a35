"""File locks between commands of the lab; the kernel releases them when the holder ends, however it ends."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pgherd_lab.errors import LabError


@contextmanager
def locked(path: Path, who: str, say: Callable[[str], None], limit: float = 3600) -> Iterator[None]:
    """Hold the lock; says once that it waits for `who`. Raises LabError after `limit` seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    end, told = time.monotonic() + limit, False
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    say(f"waiting for {who} to finish ({path})")
                    told = True
                if time.monotonic() > end:
                    raise LabError(f"{who} holds {path} for more than {limit:g} s") from None
                time.sleep(0.1)
        yield
