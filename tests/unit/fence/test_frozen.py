"""When an agent counts as frozen."""

from __future__ import annotations

import pytest

from pgherd.fence.agent import START_GRACE, Agent


@pytest.mark.parametrize(
    ("heartbeat", "awake", "now", "frozen"),
    [
        (100.0, 0.0, 104.0, False),
        (100.0, 0.0, 106.0, True),
        (100.0, 105.0, 106.0, False),  # the fence itself stood still: the agent gets its time anew
        (0.0, 0.0, 50.0 + START_GRACE - 1, False),  # still starting
        (0.0, 0.0, 50.0 + START_GRACE + 1, True),
        (49.0, 0.0, 56.0, False),  # the heartbeat of the one before
    ],
)
def test_silence(heartbeat: float, awake: float, now: float, frozen: bool) -> None:
    agent = Agent({"PGHERD_AGENT_SILENCE": "5"}, 0)
    agent.pid, agent.started = 7, 50.0
    assert agent.frozen(heartbeat, awake, now) is frozen


def test_restarts_wait_longer_until_one_holds() -> None:
    agent = Agent({}, 0)
    waits = []
    for _ in range(6):
        agent.started = 100.0
        agent.ended(101.0)
        waits.append(round(agent.start_after - 101.0, 1))
    assert waits == [0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    agent.ended(1000.0)
    assert agent.start_after == 1000.2
