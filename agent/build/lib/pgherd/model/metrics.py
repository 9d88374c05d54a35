"""What is shown to Prometheus, as values: a family says what a number means, a sample is one such number.

Names follow https://prometheus.io/docs/practices/naming/: base units (seconds, bytes) in the name, `_total` for what
only grows. Every sample gets the labels `cluster` and `member` besides its own (rest/metrics.py).
"""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["gauge", "counter"]


class Family(msgspec.Struct, frozen=True):
    """One name. Values of `labels` are few: states, members, databases, slots; never queries or clients."""

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()


class Sample(msgspec.Struct, frozen=True):
    family: Family
    value: float
    labels: tuple[str, ...] = ()
    """Values of the family's labels, in their order."""
