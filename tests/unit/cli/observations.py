"""What the commands saw of a cluster of m0 (leader), m1 and m2; every test changes a little."""

from __future__ import annotations

from typing import Any

import msgspec

from pgherd.cli.observe import Observation
from pgherd.cli.target import Target
from pgherd.kubernetes.store import ConfigSeen, LockSeen, PodSeen
from tests.unit.decide.views import SYSTEM, lease, pod, status

TARGET = Target("demo", "ns", None, "pgherd.dev/", ("m0", "m1", "m2"), "/certificates", 8008, 5432)
STREAMS = {"streaming_from": "m0", "receiver_timeline": 2}


def observation(**changes: Any) -> Observation:
    base = Observation(
        target=TARGET, namespace="ns", lock=LockSeen(lease(), "7"), config=ConfigSeen("3", SYSTEM),
        pods=tuple(PodSeen(pod(name)) for name in ("m0", "m1", "m2")),
        answers={"m0": status("m0"), "m1": status("m1", **STREAMS), "m2": status("m2", **STREAMS)},
    )  # fmt: skip
    return msgspec.structs.replace(base, **changes)
