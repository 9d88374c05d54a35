"""The last sound record that this member saw, on its volume: what a lost lock object is made from again (§2).

Never times: a restarted observer counts anew (ha-protocol §2, "Clocks"). Renewals that change nothing but the time
cost the volume no write; a change of content does, and so does a gap, behind which there may have been one.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from pgherd.model.lease import Lease


class LeaseSeen(msgspec.Struct, frozen=True):
    epoch: int
    """The largest epoch seen, also in a record that names nobody."""
    record: Lease | None = None


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


def timeless(record: Lease) -> Lease:
    return msgspec.structs.replace(record, acquire_time="", renew_time="")


def of(epoch: int, record: Lease | None) -> LeaseSeen:
    return LeaseSeen(epoch, timeless(record) if record is not None else None)


def covers(kept: LeaseSeen, seen: LeaseSeen) -> bool:
    """Whether the file says all of it that matters: a renewal with the same content comes next to what it has."""
    return kept.epoch == seen.epoch and _content(kept.record) == _content(seen.record)


def _content(record: Lease | None) -> Lease | None:
    if record is None or record.holder is None:
        return record
    holder = msgspec.structs.replace(record.holder, nonce="", serial=0)
    return msgspec.structs.replace(record, holder=holder, optime=0, slots={}, retain_slots={})


def write_seen(path: Path, seen: LeaseSeen) -> None:
    """Durable (blocking: call it in a thread, a stalled volume must not stop the heartbeat)."""
    temporary = path.with_suffix(".new")
    with temporary.open("wb") as file:
        file.write(msgspec.json.encode(seen))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
