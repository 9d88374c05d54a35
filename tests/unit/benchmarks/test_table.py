"""The table says what was missed; nothing that failed disappears from it."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.failover import faults, table
from benchmarks.failover.store import Run


def run(seconds: float = 1.0, fault: str = "kill-node", contender: str = "pgherd", **changes: Any) -> Run:
    gaps = {"": {"seconds": seconds, "ended": changes.pop("ended", True)}}
    base = {"fault": fault, "contender": contender, "outcome": "measured", "gaps": gaps, "lost": 0,
            "two_primaries": 0.0, "whole_after": 3.0}  # fmt: skip
    return {**base, **changes}


FAILED = {"fault": "kill-node", "contender": "pgherd", "outcome": "failed", "error": "x"}


def line(*runs: Run) -> list[str]:
    (only,) = table.lines(runs)
    return table.cells(only)


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        pytest.param([run(10.9)], "met", id="within the budget"),
        pytest.param([run(11.1)], "MISSED: time", id="too slow"),
        pytest.param([run(1.0)] * 30 + [run(60.0)], "met", id="the budget is a 95th percentile"),
        pytest.param([run(1.0)] * 10 + [run(60.0)], "MISSED: time", id="which with few runs is the worst one"),
        pytest.param([run(two_primaries=0.1)], "MISSED: two primaries", id="two primaries, however short"),
        pytest.param([run(), FAILED], "MISSED: 1 failed", id="a failed run is never left out"),
        pytest.param([run(whole_after=None)], "MISSED: 1 not whole again", id="a member that never came back"),
        pytest.param([run(0.5, "kill-postmaster", lost=1)], "MISSED: lost writes", id="nothing may be lost here"),
        pytest.param([run(lost=3)], "met", id="asynchronous: the last moment may be lost, and is printed"),
        pytest.param([run(20.0, "freeze-node")], "measured", id="no budget, measured"),
        pytest.param([run(60.0, contender="patroni-default")], "", id="the others have no budget"),
    ],
)
def test_the_verdict(runs: list[Run], expected: str) -> None:
    assert line(*runs)[-1] == expected


def test_percentiles_and_how_many() -> None:
    cells = line(*[run(float(seconds)) for seconds in range(1, 5)], FAILED)
    assert cells[2:7] == ["5", "1", "2.00", "4.00", "4.00"]


def test_a_gap_that_never_ended_is_marked() -> None:
    assert line(run(150.0, ended=False))[6] == "> 150.00"


def test_lost_writes_and_two_primaries_show_their_range() -> None:
    cells = line(run(lost=0, two_primaries=0.0), run(lost=12, two_primaries=1.5))
    assert cells[7:9] == ["0 to 12", "0.00 to 1.50"]


def test_only_failed_runs_are_a_line_too() -> None:
    assert line(FAILED)[2:5] == ["1", "1", "-"] and line(FAILED)[-1] == "MISSED: 1 failed"


def test_what_is_not_offered_is_shown_as_not_run() -> None:
    cells = line({"fault": "switchover", "contender": "pgherd", "outcome": "not run", "error": "no command"})
    assert cells[2] == "0" and cells[-1] == "not run"


def test_a_fault_that_strikes_twice_has_two_lines() -> None:
    gaps = {name: {"seconds": seconds, "ended": True} for name, seconds in (("first", 2.0), ("second", 6.0))}
    found = [table.cells(each) for each in table.lines([run(fault="kill-container", gaps=gaps)])]
    assert [cells[4] for cells in found] == ["2.00", "6.00"]
    assert [cells[-1] for cells in found] == ["met", "MISSED: time"]


def test_every_fault_has_a_budget_and_a_title() -> None:
    assert {fault for fault, _ in table.BUDGETS} == {*faults.ALL, faults.COLD_START} == set(table.TITLES)
    for name, fault in faults.ALL.items():
        assert {time for other, time in table.BUDGETS if other == name} == set(fault.times)


def idle(**changes: Any) -> Run:
    api = {"requests": 60.0, "writes": changes.pop("writes", 20.0), "mirrored_writes": 5.0, "by_kind": {}}
    base = {"fault": "idle", "contender": "pgherd", "outcome": "measured", "api": api,
            "pss_bytes": {"a": 40 * 2**20, "b": 50 * 2**20}, "cpu_per_minute": {"a": 0.1, "b": 0.15}}  # fmt: skip
    return {**base, **changes}


def test_idle_cost() -> None:
    assert table.idle_cells([idle()]) == [["pgherd", "1", "40.0 to 50.0", "0.10 to 0.15", "60", "20", "5"]]
    assert [each.rpartition(" ")[2] for each in table.idle_verdicts([idle()])] == ["met", "met", "met"]
    worse = idle(writes=30.0, cpu_per_minute={"a": 0.3})
    assert [each.rpartition(" ")[2] for each in table.idle_verdicts([worse])] == ["met", "MISSED", "MISSED"]


def test_the_report_has_versions_machine_and_table() -> None:
    text = table.report([run(), idle()], {"Patroni": "4.1.5"}, {"CPU": "some"})
    assert "Patroni 4.1.5; CPU some." in text and "| node killed | pgherd | 1 | 0 | 1.00 |" in text
