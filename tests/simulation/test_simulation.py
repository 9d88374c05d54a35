"""Seeds of the simulation: with the shipped code none violates an invariant."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.simulation.run import Outcome, run


def outcomes(first: int, count: int) -> list[Outcome]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=os.cpu_count(), mp_context=context) as pool:
        return list(pool.map(run, range(first, first + count), chunksize=5))


def test_no_seed_violates_an_invariant(seeds: int) -> None:
    found = outcomes(0, seeds)
    bad = [outcome for outcome in found if outcome.violation]
    if bad:
        lines = [f"seed {o.seed}: {o.violation}\n  python -m tests.simulation --seed {o.seed} --trace" for o in bad]
        pytest.fail(f"{len(bad)} of {len(found)} seeds\n" + "\n".join(lines), pytrace=False)
    primaries = sum(outcome.primaries for outcome in found)
    assert primaries > seeds, "hardly anything happened"
    assert sum(outcome.synchronous for outcome in found) > 20 * seeds, "hardly anything was replicated synchronously"
    print(f"{len(found)} seeds, {primaries} primaries, {sum(o.seconds for o in found) / 3600:.1f} virtual hours")


def test_a_seed_is_a_story_that_can_be_told_again() -> None:
    one, other = run(3, trace=True), run(3, trace=True)
    assert one.story and one.faults == other.faults
    assert [line.split("uid")[0] for line in one.story] == [line.split("uid")[0] for line in other.story]
