"""When a failure is no reason any more."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pgherd.model.server import Data, Process, Server
from pgherd.model.view import Failure, TaskKind, forgiven

START = Failure(TaskKind.START, "m0", 2, 10.0, "it does not start")
REWIND = Failure(TaskKind.REWIND, "m0", 2, 5.0, "no")
STOPPED = Server(data=Data.PRESENT, process=Process.STOPPED, incarnation="old")
EMPTY = Server(data=Data.EMPTY)


def server(**state: Any) -> Server:
    return msgspec.structs.replace(STOPPED, **{"process": Process.RUNNING, **state})


@pytest.mark.parametrize(
    ("before", "now", "left"),
    [
        (STOPPED, STOPPED, (REWIND, START)),
        (None, STOPPED, (REWIND, START)),
        (STOPPED, server(), (REWIND,)),
        (STOPPED, server(streaming=True), ()),
        (STOPPED, server(primary=True), ()),
        (STOPPED, server(primary=True, promoting=True), (REWIND, START)),
        (STOPPED, EMPTY, (REWIND, START)),
        # A clone took the place of what did not start: it is started, not cloned again.
        (STOPPED, server(process=Process.STOPPED, incarnation="new"), (REWIND,)),
        (EMPTY, server(process=Process.STOPPED, incarnation="new"), (REWIND,)),
    ],
)  # fmt: skip
def test_what_is_left(before: Server | None, now: Server, left: tuple[Failure, ...]) -> None:
    assert forgiven((REWIND, START), before, now) == left
