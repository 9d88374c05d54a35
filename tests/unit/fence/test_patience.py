"""How long the fence sleeps: never past the deadline, and no word of the agent waits for the end of it (S4)."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pgherd.fence import loop
from pgherd.fence.loop import HASTE, QUIET, STEP, WATCH, Fence
from pgherd.model.mapping import Mapping, boottime, create
from pgherd.postgres.link import FenceLink

NOW = 1000.0


@pytest.fixture
def fence(tmp_path: Path) -> Fence:
    made = Fence({"PGHERD_RUN": str(tmp_path)})
    made.agent.pid = 99
    return made


def test_no_look_later_than_the_deadline(fence: Fence) -> None:
    fence.mapping.arm(NOW + 9.0)
    assert fence.patience(NOW) == WATCH
    assert 50 <= fence.patience(NOW + 8.95) <= 51
    assert 1 <= fence.patience(NOW + 8.9999) <= 2


def test_nothing_that_writes_needs_few_looks(fence: Fence) -> None:
    assert fence.patience(NOW) == QUIET < loop.STALL * 1000
    fence.mapping.arm(NOW + 9.0)
    fence.mapping.settle(1)
    assert fence.patience(NOW + 10.0) == QUIET


def test_a_writable_server_is_watched_whatever_was_settled(fence: Fence) -> None:
    fence.postgres.pid, fence.postgres.writable = 7, True
    assert fence.patience(NOW) == WATCH


def test_a_pass_under_way_and_a_missing_agent_do_not_wait(fence: Fence) -> None:
    fence.agent.pid = None
    assert fence.patience(NOW) == STEP
    fence.kill_for(1)
    assert fence.patience(NOW) == HASTE


def test_a_pause_does_not_spin_on_the_deadline_that_it_does_not_enforce(fence: Fence) -> None:
    fence.mapping.arm(NOW + 1.0)
    fence.mapping.pause()
    assert fence.patience(NOW + 5.0) == QUIET


@pytest.fixture
def linked() -> Iterator[tuple[FenceLink, socket.socket]]:
    fences, agents = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    fences.setblocking(False)
    link = FenceLink(Mapping(create()), agents)
    yield link, fences
    link.close()
    fences.close()


def words(fences: socket.socket) -> list[bytes]:
    found = []
    try:
        while True:
            found.append(fences.recv(1000))
    except BlockingIOError:
        return found


STRICTER: dict[str, Callable[[FenceLink], None]] = {
    "withdrawn": lambda link: link.withdraw(),
    "armed to nothing": lambda link: link.arm(0.0, 0.0),
    "armed to something earlier": lambda link: link.arm(boottime() + 1.0, boottime() + 2.0),
}


@pytest.mark.parametrize("change", STRICTER.values(), ids=STRICTER)
def test_the_fence_hears_of_what_is_stricter(
    linked: tuple[FenceLink, socket.socket], change: Callable[[FenceLink], None]
) -> None:
    link, fences = linked
    link.arm(boottime() + 9.0, boottime() + 10.0)
    assert words(fences) == [b'{"verb": "look"}']  # the first one: it may end before the fence's next look
    link.arm(boottime() + 12.0, boottime() + 13.0)
    assert words(fences) == []
    change(link)
    assert words(fences) == [b'{"verb": "look"}']


def test_a_fence_that_does_not_listen_stops_nobody(linked: tuple[FenceLink, socket.socket]) -> None:
    link, fences = linked
    for _ in range(10_000):
        link.withdraw()
    assert link.deadline() == 0.0
    fences.close()
    link.withdraw()


def test_a_look_has_no_answer(fence: Fence) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    theirs.setblocking(False)
    fence.agent.socket, fence.agent.started = ours, boottime()
    theirs.send(b'{"verb": "look"}')
    fence.agent.pid = None  # nothing here to watch
    fence.agent.start_after = boottime() + 100.0
    fence.step(True)
    with pytest.raises(BlockingIOError):
        theirs.recv(1000)
    ours.close()
    theirs.close()
