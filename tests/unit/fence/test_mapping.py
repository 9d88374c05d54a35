"""The shared memory: the smaller deadline counts, and an agent killed half-way loses nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pgherd.model import mapping
from pgherd.model.mapping import Mapping, TableFull


@pytest.fixture
def shared() -> Iterator[tuple[Mapping, Mapping]]:
    """The fence's and the agent's window on the same memory."""
    fd = mapping.create()
    pair = Mapping(fd), Mapping(fd)
    yield pair
    for one in pair:
        one.close()
    os.close(fd)


def test_a_new_mapping_allows_nothing(shared: tuple[Mapping, Mapping]) -> None:
    fence, _ = shared
    assert (fence.deadline, fence.armings, fence.settled, fence.heartbeat, fence.attempts()) == (0.0, 0, 0, 0.0, [])


def test_the_fence_sees_what_the_agent_arms(shared: tuple[Mapping, Mapping]) -> None:
    fence, agent = shared
    agent.arm(12.5, 14.0)
    assert (fence.deadline, fence.lease_end, fence.armings) == (12.5, 14.0, 1)
    fence.settle(1)
    assert agent.settled == 1
    agent.withdraw()
    assert fence.deadline == 0.0


@pytest.mark.parametrize("copy", mapping.DEADLINES)
def test_half_a_forward_step_counts_as_none(shared: tuple[Mapping, Mapping], copy: int) -> None:
    fence, agent = shared
    agent.write_deadline(10.0)
    mapping._DOUBLE.pack_into(agent._memory, copy, 20.0)
    assert fence.deadline == 10.0


def test_half_a_backward_step_counts_in_full(shared: tuple[Mapping, Mapping]) -> None:
    fence, agent = shared
    agent.write_deadline(10.0)
    mapping._DOUBLE.pack_into(agent._memory, mapping.DEADLINES[0], 0.0)
    assert fence.deadline == 0.0


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_only_an_instant_is_a_deadline(shared: tuple[Mapping, Mapping], value: float) -> None:
    fence, agent = shared
    with pytest.raises(ValueError, match="finite"):
        agent.arm(value)
    mapping._DOUBLE.pack_into(agent._memory, mapping.DEADLINES[0], value)
    assert fence.deadline == 0.0


def test_attempts_survive_a_write_that_was_cut_short(shared: tuple[Mapping, Mapping]) -> None:
    fence, agent = shared
    agent.write_attempts([{"nonce": "a"}])
    agent.write_attempts([{"nonce": "a"}, {"nonce": "b"}])
    sequences = [fence._table(index)[0] for index in (0, 1)]
    older = mapping.TABLES + sequences.index(min(sequences)) * mapping.SLOT
    fence._memory[older : older + 40] = b"x" * 40
    assert [attempt["nonce"] for attempt in fence.attempts()] == ["a", "b"]


def test_a_full_table_keeps_what_it_had(shared: tuple[Mapping, Mapping]) -> None:
    fence, agent = shared
    agent.write_attempts([{"nonce": "a"}])
    with pytest.raises(TableFull, match="do not fit"):
        agent.write_attempts([{"nonce": "x" * 100}] * 1000)
    assert fence.attempts() == [{"nonce": "a"}]


# A recorded pause


def test_a_pause_lasts_until_the_next_arming(shared: tuple[Mapping, Mapping]) -> None:
    fence, agent = shared
    agent.arm(10.0, 12.0)
    assert not fence.paused
    agent.pause()
    assert fence.paused and fence.deadline == 10.0
    agent.arm(20.0, 22.0)
    assert not fence.paused and fence.deadline == 20.0


def test_what_is_withdrawn_is_not_paused(shared: tuple[Mapping, Mapping]) -> None:
    fence, agent = shared
    agent.arm(10.0, 12.0)
    agent.pause()
    agent.withdraw()
    assert not fence.paused and fence.deadline == 0.0


@pytest.mark.parametrize("copy", mapping.PAUSES)
def test_half_a_pause_is_none(shared: tuple[Mapping, Mapping], copy: int) -> None:
    fence, agent = shared
    mapping._WORD.pack_into(agent._memory, copy, mapping.PAUSED)
    assert not fence.paused


def test_an_agent_that_dies_between_the_halves_of_an_arming_leaves_the_pause(shared: tuple[Mapping, Mapping]) -> None:
    """The write that ends the pause is sent only after the whole arming: until then the pause stands."""
    fence, agent = shared
    agent.pause()
    agent.write_deadline(20.0)
    assert fence.paused
