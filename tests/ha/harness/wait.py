"""Conditions with a deadline: no test sleeps and hopes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
START = 60.0
"""Seconds for three empty members to become a cluster, on a busy machine."""
SLACK = 8.0
"""Seconds on top of what a timing promises, on a busy machine: a bound that is missed by a second proves nothing."""
UNNOTICED = 3.0
"""Seconds between two writes of a client that nothing is said to happen to; less than any ttl of these tests."""


def eventually(what: str, check: Callable[[], T | None], within: float, every: float = 0.05) -> T:
    """The first true value of `check`. Fails with `what`, and the last value or error, after `within` seconds."""
    end = time.monotonic() + within
    last: object = None
    while True:
        try:
            value = check()
            if value:
                return value
            last = value
        except Exception as error:  # the condition may not even be askable yet
            last = f"{type(error).__name__}: {error}"
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {within:g} s; last: {last}")
        time.sleep(every)
