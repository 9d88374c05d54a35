"""Seeds of a standby cluster: its remote primary fails over, it is promoted and demoted, and faults strike."""

from __future__ import annotations

import functools
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.simulation.run import run


def test_no_seed_of_a_standby_cluster_violates_an_invariant(seeds: int) -> None:
    count = max(20, seeds // 3)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=os.cpu_count(), mp_context=context) as pool:
        found = list(pool.map(functools.partial(run, standby=True), range(count), chunksize=5))
    bad = [outcome for outcome in found if outcome.violation]
    if bad:
        again = "python -m tests.simulation --standby --trace --seed"
        pytest.fail("\n".join(f"seed {o.seed}: {o.violation}\n  {again} {o.seed}" for o in bad), pytrace=False)
    turns = [text for outcome in found for text in outcome.faults if "standby_cluster is" in text]
    assert len(turns) > count / 2, "hardly any cluster was promoted or demoted"
    assert sum(outcome.primaries for outcome in found) > count, "hardly anything happened"
