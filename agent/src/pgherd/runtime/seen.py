"""The last record that this member saw, on its volume: so that an epoch that goes back is noticed after a restart.

Never times: a restarted observer counts anew (ha-protocol §2, "Clocks").
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from pgherd.model.lease import Candidate, Lease
from pgherd.model.synchronous import Synchronous


class LeaseSeen(msgspec.Struct, frozen=True):
    epoch: int
    nonce: str = ""
    ttl: float = 0.0
    candidates: tuple[Candidate, ...] = ()
    pause: bool = False
    sync: Synchronous | None = None


def read_seen(path: Path) -> LeaseSeen | None:
    """What was kept, or None. A broken file raises ValueError naming it: guessing the epoch would be worse."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=LeaseSeen)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise ValueError(
            f"{path} is not readable ({error}): remove it only when the cluster's lock object is right"
        ) from None


def of(record: Lease) -> LeaseSeen:
    return LeaseSeen(record.epoch, record.nonce, record.ttl, record.candidates, record.pause, record.sync)


def write_seen(path: Path, seen: LeaseSeen) -> None:
    """Durable (blocking: call it in a thread, a stalled volume must not stop the heartbeat)."""
    temporary = path.with_suffix(".new")
    with temporary.open("wb") as file:
        file.write(msgspec.json.encode(seen))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
