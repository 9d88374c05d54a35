"""A machine that was moved while it stood still: the fence goes by its own look at the two clocks (S1, S4)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pgherd.fence import loop, requests
from pgherd.fence.loop import Fence
from pgherd.model.clocks import distance
from pgherd.model.mapping import boottime


class Postmaster:
    """What the loop asks of fence.postgres."""

    def __init__(self) -> None:
        self.pid: int | None = 7
        self.writable, self.dead, self.volume = True, False, None
        self.kills = 0

    def kill(self) -> bool:
        self.kills += 1
        self.pid, self.dead = None, True
        return True

    def bury(self) -> None:
        pass


@pytest.fixture
def fence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fence:
    made = Fence({"PGHERD_RUN": str(tmp_path)})
    made.postgres = Postmaster()  # type: ignore[assignment]
    made.mapping.arm(boottime() + 9.0, boottime() + 10.0)
    monkeypatch.setattr(made.agent, "frozen", lambda *_: False)
    monkeypatch.setattr(loop.processes, "reap", list)
    made.agent.pid = 99
    return made


def moved(fence: Fence, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next look finds the wall clock that much further."""
    before = fence._distance
    monkeypatch.setattr(loop, "distance", lambda otherwise: before + seconds)
    fence.step(False)


def kills(fence: Fence) -> int:
    return fence.postgres.kills  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize(("seconds", "killed"), [(0.0, 0), (0.9, 0), (1.1, 1), (15.0, 1), (-15.0, 0)])
def test_a_forward_step_above_the_margin_voids_what_was_armed(
    fence: Fence, monkeypatch: pytest.MonkeyPatch, seconds: float, killed: int
) -> None:
    moved(fence, seconds, monkeypatch)
    assert kills(fence) == killed and (fence.deadline == 0.0) is bool(killed)


def test_the_margin_is_that_of_the_lease(fence: Fence, monkeypatch: pytest.MonkeyPatch) -> None:
    fence.mapping.arm(boottime() + 27.0, boottime() + 30.0)
    moved(fence, 2.5, monkeypatch)
    assert kills(fence) == 0


def test_until_the_agent_arms_again_nothing_may_write(fence: Fence, monkeypatch: pytest.MonkeyPatch) -> None:
    moved(fence, 15.0, monkeypatch)
    request = {"verb": "start", "id": 1, "writable": True, "argv": ["postgres"], "env": {}}
    monkeypatch.setattr(requests, "_refuse_a_second_one", lambda fence: None)
    with pytest.raises(requests.Refused, match="armed deadline"):
        requests.VERBS["start"](fence, request)
    assert requests.VERBS["state"](fence, {})["armed"] is False
    # A standby that an agent, which does not know yet, starts to promote it.
    fence.postgres.pid, fence.postgres.writable = 8, False
    fence.step(False)
    assert kills(fence) > 1
    before = kills(fence)
    fence.mapping.arm(boottime() + 9.0, boottime() + 10.0)
    fence.postgres.pid = 9
    fence.step(False)
    assert kills(fence) == before and fence.deadline > boottime()


def test_in_a_pause_nothing_is_enforced(fence: Fence, monkeypatch: pytest.MonkeyPatch) -> None:
    fence.mapping.pause()
    moved(fence, 15.0, monkeypatch)
    assert kills(fence) == 0


def readings(*values: float) -> Callable[[], float]:
    there: Any = iter(values)
    return lambda: float(next(there))


def test_clocks_that_were_not_read_together_are_no_step() -> None:
    """A process that was put aside between the two would else kill a healthy primary."""
    second_try = readings(95.0, 98.0, 98.1, 98.1001)
    assert distance(900.0, readings(1000.0, 1000.1), second_try) == pytest.approx(902.0, abs=0.01)
    slow = readings(95.0, 96.0, 97.0, 98.0, 99.0, 100.0)
    assert distance(900.0, readings(1000.0, 1001.0, 1002.0), slow) == 900.0
