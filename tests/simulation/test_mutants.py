"""Three mutants of different rules are caught quickly; `make mutants` tries all of them."""

from __future__ import annotations

import pytest

from tests.simulation.mutants.catalogue import MUTANTS
from tests.simulation.mutants.trial import AGENT, attempt

QUICK = ("a renewal does not start the wait anew", "no margin", "no fence")


@pytest.mark.parametrize("mutant", [m for m in MUTANTS if m.name.startswith(QUICK)], ids=lambda m: m.name)
def test_a_mutant_is_caught(mutant) -> None:  # type: ignore[no-untyped-def]
    verdict = attempt(mutant, seeds=80)
    assert verdict.caught, verdict


def test_every_mutant_still_fits_the_shipped_code() -> None:
    for mutant in MUTANTS:
        texts: dict[str, str] = {}
        for patch in mutant.patches:
            text = texts.get(patch.file) or (AGENT / "pgherd" / patch.file).read_text()
            assert text.count(patch.old) == 1, mutant.name
            texts[patch.file] = text.replace(patch.old, patch.new)
