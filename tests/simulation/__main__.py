"""Run seeds by hand: `python -m tests.simulation --seed 7 --trace`, or `--seeds 5000 --first 0 --stop`."""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.faults import Faults
from tests.simulation.run import run


def invariant(violation: str) -> str:
    """Its number: the first word."""
    return violation.split()[0].rstrip(":")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="one seed")
    parser.add_argument("--trace", action="store_true", help="print what happened, event by event")
    parser.add_argument("--seeds", type=int, default=200, help="how many (default 200)")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    parser.add_argument("--stop", nargs="?", const="", help="at the first violation (of these invariants: S1,S4)")
    parser.add_argument(
        "--safety", action="store_true", help="only S1 to S8: a cluster that is not well is no violation"
    )
    parser.add_argument("--standby", action="store_true", help="a standby cluster, promoted and demoted meanwhile")
    parser.add_argument("--fault", default="", help="the only kind of fault that strikes, such as replace_copy")
    given = parser.parse_args()
    if given.fault and not callable(getattr(Faults, given.fault, None)):
        parser.error(f"--fault {given.fault}: no such fault; they are listed in tests/simulation/faults.py")
    seeds = [given.seed] if given.seed is not None else range(given.first, given.first + given.seeds)
    began, failed, primaries = time.monotonic(), 0, 0
    for seed in seeds:
        outcome = run(seed, given.trace, given.standby, given.fault)
        primaries += outcome.primaries
        if given.trace:
            print("\n".join(outcome.story))
        if outcome.violation and not (given.safety and not outcome.violation.startswith("S")):
            failed += 1
            print(f"seed {seed}: {outcome.violation}", flush=True)
            if given.stop == "" or invariant(outcome.violation) in (given.stop or "").split(","):
                break
    print(f"{len(seeds)} seeds, {failed} violations, {primaries} primaries, {time.monotonic() - began:.1f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
