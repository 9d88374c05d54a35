"""Try every mutant and list what caught it. Exit status 1 if one survives."""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.simulation.mutants.catalogue import MUTANTS
from tests.simulation.mutants.trial import Verdict, attempt, known, remember


def show(verdict: Verdict) -> str:
    mutant = verdict.mutant
    where = ", ".join(f"{patch.file} {patch.symbol}" for patch in mutant.patches)
    word = "caught  " if verdict.caught else "SURVIVED"
    head = f"{word} {mutant.name}\n         {where}, breaks {'/'.join(mutant.invariants)}"
    seed = f"seed {verdict.seed}: " if verdict.seed is not None else ""
    return f"{head}\n         {seed}{verdict.invariant} {verdict.text}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1500, help="seeds for each mutant at most (default 1500)")
    parser.add_argument("--only", default="", help="those whose name has this text")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--record", action="store_true", help="note what caught each one in seeds.json")
    given = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if given.only in mutant.name]
    survived, caught = 0, {name: seed for name, seed in known().items() if name in {each.name for each in MUTANTS}}
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for verdict in pool.map(lambda mutant: attempt(mutant, given.seeds, given.first), chosen):
            print(show(verdict), flush=True)
            survived += not verdict.caught
            if given.record and verdict.caught and verdict.seed is not None:
                caught[verdict.mutant.name] = verdict.seed
                remember(caught)
    print(f"{len(chosen)} mutants, {survived} survived")
    return 1 if survived or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
