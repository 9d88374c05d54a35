"""Which container am I? The kubelet knows its containerID; this member writes it into the lease only when sure.

Proof 2 (ha-protocol §2) lets others take the lease when the kubelet reports *that* container as terminated,
so a wrong ID would be deadly: a status that lags behind shows the predecessor's. Each container of the pod
therefore leaves a line in a file that outlives it (an emptyDir), and an ID is believed only when no earlier
one had it, no earlier one is unaccounted for, and it did not start before this PID 1 did.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec

from pgherd.kubernetes.store import PodSeen
from pgherd.model.mapping import boottime

START_SLACK = 2.0
"""Seconds by which the kubelet's startedAt (whole seconds) may lie before PID 1's start."""


class Entry(msgspec.Struct):
    """One container of this pod. `key` is its PID 1: boot id and start time."""

    key: str
    id: str = ""
    wrote: bool = False
    """Whether it ever sent a write of the lock object."""


def pid1_start() -> tuple[str, float]:
    """A key for this PID namespace's life, and the wall-clock time at which its PID 1 started."""
    # Field 22 of /proc/1/stat, counted after the command's closing parenthesis (proc(5)).
    ticks = int(Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19])
    booted = time.time() - boottime()
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot_id}/{ticks}", booted + ticks / os.sysconf("SC_CLK_TCK")


class Container:
    """This container among those of its pod."""

    def __init__(self, folder: Path, key: str, started: float) -> None:
        self._path = folder / "containers"
        self._started = started
        self._entries = self._load()
        own = next((entry for entry in self._entries if entry.key == key), None)
        if own is None:
            own = Entry(key)
            self._entries.append(own)
            self._save()
        self._own = own

    def _load(self) -> list[Entry]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=list[Entry])
        except FileNotFoundError:
            return []
        except msgspec.MsgspecError:
            # An unreadable file hides predecessors: two unaccounted ones keep the ID uncertain for good.
            return [Entry("unreadable"), Entry("unreadable")]

    def _save(self) -> None:
        temporary = self._path.with_suffix(".new")
        temporary.write_bytes(msgspec.json.encode(self._entries))
        temporary.replace(self._path)

    @property
    def id(self) -> str:
        """Own containerID, or "" while it is not certain."""
        return self._own.id

    @property
    def wrote(self) -> bool:
        """Whether this container (any agent in it) ever sent a write: then a lease of this pod is no predecessor's."""
        return self._own.wrote

    def writing(self) -> bool:
        """Before a write leaves; whether it is the first."""
        first = not self._own.wrote
        if first:
            self._own.wrote = True
            self._save()
        return first

    def never_wrote(self) -> None:
        """The first write certainly did not happen: a lease of this pod is still a predecessor's."""
        self._own.wrote = False
        self._save()

    def learn(self, seen: PodSeen) -> bool:
        """Look at the own pod's status. Returns whether the ID became certain just now."""
        found = seen.pod.container
        earlier = [entry for entry in self._entries if entry is not self._own]
        if self._own.id or not found or seen.started is None:
            return False
        if any(entry.id == found for entry in earlier) or seen.started + START_SLACK < self._started:
            return False
        unaccounted = [entry for entry in earlier if not entry.id]
        if unaccounted:
            recorded = {entry.id for entry in earlier}
            if len(unaccounted) > 1 or not seen.last_ended or seen.last_ended in {*recorded, found}:
                return False
            unaccounted[0].id = seen.last_ended
        self._own.id = found
        self._save()
        return True
