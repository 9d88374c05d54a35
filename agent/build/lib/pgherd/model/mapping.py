"""The memory that the fence (PID 1) and the agent share: deadline, heartbeat, unanswered writes.

Standard library only, because the fence imports it. The mapping is a memfd that the fence makes once and
hands to every agent that it starts; it lives as long as the container, so a new agent inherits what the
last one promised (S4). Layout, in native byte order:

    0   deadline, first copy   (double, boot time in seconds; 0 = none)
    8   deadline, second copy
    16  heartbeat              (double, boot time)
    24  armings                (unsigned 64 bit; the agent adds one whenever it arms)
    32  settled                (unsigned 64 bit; the fence copies `armings` here after an empty killing pass)
    40  lease end              (double, boot time; for the fence's account of a kill only, it decides nothing)
    48  pause, first copy      (unsigned 64 bit; PAUSED while the lease records a pause: the deadline is not enforced)
    56  pause, second copy
    64, 64 + SLOT              two copies of the attempts table: sequence, length, checksum, JSON

Each word is written by one side only (`settled` by the fence, the rest by the agent). The table is written
to the older copy, so that an agent killed half-way leaves the previous table readable.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import struct
import time
import zlib
from typing import Any

DEADLINES = (0, 8)
HEARTBEAT = 16
ARMINGS = 24
SETTLED = 32
LEASE_END = 40
PAUSES = (48, 56)
PAUSED = 0x7061757365640001
"""What both copies must hold to disarm: neither a zeroed nor a half-written word does."""
TABLES = 64
SLOT = 32 * 1024
SIZE = TABLES + 2 * SLOT

_DOUBLE = struct.Struct("d")
_WORD = struct.Struct("Q")
_HEAD = struct.Struct("QII")

FD_VARIABLE = "PGHERD_FENCE_MAPPING"
SOCKET_VARIABLE = "PGHERD_FENCE_SOCKET"


class TableFull(RuntimeError):
    """More unanswered writes than the mapping can hold: nothing may be sent before some are answered."""


def boottime() -> float:
    """Seconds of CLOCK_BOOTTIME: monotonic, the same for every process of the machine, counts suspend."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def create() -> int:
    """A new memfd with an empty mapping (closed on exec unless made inheritable)."""
    fd = os.memfd_create("pgherd", os.MFD_CLOEXEC)
    os.ftruncate(fd, SIZE)
    return fd


class Mapping:
    """One process' window on the shared memory."""

    def __init__(self, fd: int) -> None:
        self._memory = mmap.mmap(fd, SIZE)

    def close(self) -> None:
        self._memory.close()

    def _double(self, offset: int) -> float:
        value: float = _DOUBLE.unpack_from(self._memory, offset)[0]
        return value if math.isfinite(value) else 0.0

    def _word(self, offset: int) -> int:
        value: int = _WORD.unpack_from(self._memory, offset)[0]
        return value

    @property
    def deadline(self) -> float:
        """Boot time after which nothing may write; 0 when never armed or withdrawn. The smaller copy counts (S4)."""
        return min(self._double(DEADLINES[0]), self._double(DEADLINES[1]))

    def write_deadline(self, deadline: float) -> None:
        """Both copies, one after the other: a reader in between sees the smaller of old and new."""
        if not math.isfinite(deadline):
            raise ValueError(f"deadline must be a finite boot time, not {deadline}")
        for offset in DEADLINES:
            _DOUBLE.pack_into(self._memory, offset, deadline)

    def arm(self, deadline: float, lease_end: float = 0.0) -> None:
        """Allow writing until `deadline`. The count follows the deadline: the reverse order would look overdue.

        A pause ends last: an agent that dies before leaves a pause that still is recorded.
        """
        _DOUBLE.pack_into(self._memory, LEASE_END, lease_end)
        self.write_deadline(deadline)
        _WORD.pack_into(self._memory, ARMINGS, self.armings + 1)
        self._write_pause(0)

    def pause(self) -> None:
        """The lease records a pause, confirmed: PostgreSQL may run whatever the deadline says."""
        self._write_pause(PAUSED)

    def withdraw(self) -> None:
        """Nothing is allowed any more. The pause goes first: what is left behind half-way is stricter."""
        self._write_pause(0)
        self.write_deadline(0.0)

    @property
    def paused(self) -> bool:
        return all(self._word(offset) == PAUSED for offset in PAUSES)

    def _write_pause(self, word: int) -> None:
        for offset in PAUSES:
            _WORD.pack_into(self._memory, offset, word)

    @property
    def lease_end(self) -> float:
        """When the lease behind the deadline ends, as the agent said; 0 when it did not."""
        return self._double(LEASE_END)

    @property
    def armings(self) -> int:
        return self._word(ARMINGS)

    @property
    def settled(self) -> int:
        return self._word(SETTLED)

    def settle(self, armings: int) -> None:
        """The fence found nothing alive after the deadline of arming number `armings`."""
        _WORD.pack_into(self._memory, SETTLED, armings)

    @property
    def heartbeat(self) -> float:
        return self._double(HEARTBEAT)

    def beat(self, now: float) -> None:
        _DOUBLE.pack_into(self._memory, HEARTBEAT, now)

    def _table(self, index: int) -> tuple[int, list[dict[str, Any]]]:
        start = TABLES + index * SLOT
        sequence, length, checksum = _HEAD.unpack_from(self._memory, start)
        if not sequence or length > SLOT - _HEAD.size:
            return 0, []
        data = self._memory[start + _HEAD.size : start + _HEAD.size + length]
        return (sequence, json.loads(data)) if zlib.crc32(data) == checksum else (0, [])

    def attempts(self) -> list[dict[str, Any]]:
        """The unanswered writes, as written last."""
        return max((self._table(index) for index in (0, 1)), key=lambda table: table[0])[1]

    def write_attempts(self, attempts: list[dict[str, Any]]) -> None:
        """Replace the table. Raises TableFull, and then the old table stays."""
        data = json.dumps(attempts, separators=(",", ":")).encode()
        if len(data) > SLOT - _HEAD.size:
            raise TableFull(f"{len(attempts)} unanswered writes ({len(data)} bytes) do not fit into the mapping")
        sequences = [self._table(index)[0] for index in (0, 1)]
        start = TABLES + sequences.index(min(sequences)) * SLOT
        _HEAD.pack_into(self._memory, start, 0, 0, 0)
        self._memory[start + _HEAD.size : start + _HEAD.size + len(data)] = data
        _HEAD.pack_into(self._memory, start, max(sequences) + 1, len(data), zlib.crc32(data))
