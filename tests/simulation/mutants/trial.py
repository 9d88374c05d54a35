"""One mutant: a patched copy of the agent, and seeds until one fails as it should.

Some need thousands of seeds. `seeds.json` has the one that caught each mutant last, which is tried first; what it does
moves with every change of the simulation, so the range is tried if it catches nothing any more.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.mutants.catalogue import Mutant

ROOT = Path(__file__).resolve().parents[3]
AGENT = ROOT / "agent" / "src"
SEEDS = Path(__file__).with_name("seeds.json")
FOUND = re.compile(r"^seed (\d+): (\S+) (.*)$", re.MULTILINE)


class Moved(Exception):
    """The text that a mutant replaces is not there, or not once."""


@dataclass(frozen=True)
class Verdict:
    mutant: Mutant
    seed: int | None
    invariant: str
    text: str

    @property
    def caught(self) -> bool:
        return self.invariant in self.mutant.invariants


def patch(mutant: Mutant, copy: Path) -> None:
    for each in mutant.patches:
        path = copy / "pgherd" / each.file
        text = path.read_text()
        if text.count(each.old) != 1:
            raise Moved(f"{mutant.name}: {each.file} has its text {text.count(each.old)} times, not once")
        path.write_text(text.replace(each.old, each.new))


def known() -> dict[str, int]:
    """Name of a mutant -> the seed that caught it last."""
    found: dict[str, int] = json.loads(SEEDS.read_text())
    return found


def remember(caught: dict[str, int]) -> None:
    new = SEEDS.with_suffix(".new")  # another mutant's thread may be reading
    new.write_text(json.dumps(dict(sorted(caught.items())), indent=2) + "\n")
    new.replace(SEEDS)


def attempt(mutant: Mutant, seeds: int, first: int = 0) -> Verdict:
    """Run seeds on the patched copy until one fails as expected; what else it breaks first does not hide that."""
    seed = known().get(mutant.name)
    if seed is not None:
        again = _run(mutant, 1, seed)
        if again.caught:
            return again
    return _run(mutant, seeds, first)


def _run(mutant: Mutant, seeds: int, first: int) -> Verdict:
    with tempfile.TemporaryDirectory(prefix="pgherd-mutant-") as folder:
        copy = Path(folder)
        shutil.copytree(AGENT / "pgherd", copy / "pgherd", ignore=shutil.ignore_patterns("__pycache__"))
        patch(mutant, copy)
        command = [
            sys.executable,
            "-m",
            "tests.simulation",
            "--seeds",
            str(seeds),
            "--first",
            str(first),
            "--safety",
            "--stop",
            ",".join(mutant.invariants),
            *(["--standby"] if mutant.standby else []),
            *(["--fault", mutant.fault] if mutant.fault else []),
        ]
        environment = {**os.environ, "PYTHONPATH": str(copy)}
        done = subprocess.run(
            command, cwd=ROOT, env=environment, text=True, capture_output=True, timeout=3600, check=False
        )
    found = [Verdict(mutant, int(seed), word.rstrip(":"), text) for seed, word, text in FOUND.findall(done.stdout)]
    nothing = Verdict(mutant, None, "", done.stderr.strip()[-300:] or f"survived {seeds} seeds")
    return next((verdict for verdict in reversed(found) if verdict.caught), found[0] if found else nothing)
