"""The one PostgreSQL of this container: postmaster or single-user recovery, and the killing pass."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping, Sequence

from pgherd.fence import processes
from pgherd.fence.volume import Volume

ROUNDS = 20
"""Rounds of one pass before the loop looks around again; a round waits PAUSE seconds."""
PAUSE = 0.001


class Postgres:
    def __init__(self) -> None:
        self.volume: Volume | None = None
        self.pid: int | None = None
        self.writable = False
        self.dead = True
        """The last killing pass was empty and nothing was started since. Only this means dead (S1)."""
        self._directories: set[processes.Directory] = set()

    def start(self, argv: Sequence[str], environ: Mapping[str, str], writable: bool, output: str | None) -> int:
        """Start it under the volume's lock; the working directory that it is about to take is remembered first."""
        assert self.volume is not None
        self._remember()
        self.dead = False
        self.writable = writable
        self.pid = processes.spawn(argv, environ, (self.volume.fd,), output)
        return self.pid

    def _remember(self) -> None:
        if self.volume and (identity := self.volume.identity()):
            self._directories.add(identity)

    def leftovers(self) -> bool:
        """Whether anything works in the data directory."""
        self._remember()
        return bool(processes.working_in(self._directories))

    def kill(self) -> bool:
        """One killing pass: SIGSTOP and SIGKILL the postmaster, SIGKILL the rest, again until nobody is found.

        Whether it was empty at the end. The postmaster's descendants come first: finding them needs no look at the
        volume, which may hang. Two empty looks in a row count, since a process may fork between them.
        """
        if self.pid:
            processes.send([self.pid], signal.SIGSTOP)
            family = processes.under(self.pid)
            processes.send([self.pid], signal.SIGKILL)
            processes.send(family, signal.SIGKILL)
        empty = 0
        for _ in range(ROUNDS):
            found = processes.working_in(self._directories)
            processes.send(found, signal.SIGKILL)
            empty = 0 if found else empty + 1
            if empty == 2:
                break
            time.sleep(PAUSE)
        self.dead = empty == 2 and self.pid is None
        return self.dead

    def bury(self) -> None:
        """After an empty pass: the directories it covered are forgotten, stale lock files removed."""
        self._directories.clear()
        self.writable = False
        if self.volume:
            self.volume.remove_stale_locks()
