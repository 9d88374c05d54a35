"""A comparison that was stopped goes on where it was, and never mixes versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.failover import store
from benchmarks.failover.store import Run

NEW = {"pgherd": "0.1.0 (b)", "Patroni": "4.1.5"}


def run(fault: str, contender: str, outcome: str = "measured") -> Run:
    return {"fault": fault, "contender": contender, "outcome": outcome}


@pytest.mark.parametrize(
    ("done", "wanted", "expected"),
    [
        pytest.param([], {"x": 1, "y": 2}, [("x", "p"), ("x", "q"), ("y", "p"), ("y", "q"), ("y", "p"), ("y", "q")],
                     id="interleaved, a round of everything after the other"),
        pytest.param([run("x", "p")], {"x": 2}, [("x", "q"), ("x", "p"), ("x", "q")], id="what is there stays"),
        pytest.param([run("x", "p", "failed")], {"x": 1}, [("x", "q")], id="a failed run is a result"),
        pytest.param([run("x", "p", "not run")], {"x": 1}, [("x", "p"), ("x", "q")], id="not offered is no run"),
        pytest.param([run("x", "p")] * 3 + [run("x", "q")], {"x": 1}, [], id="more than wanted"),
        pytest.param([{**run("x", "p"), "superseded": "why"}], {"x": 1}, [("x", "p"), ("x", "q")], id="superseded"),
        pytest.param([run("other", "p")], {}, [], id="nothing wanted"),
    ],
)  # fmt: skip
def test_what_is_left_to_do(done: list[Run], wanted: dict[str, int], expected: list[tuple[str, str]]) -> None:
    assert store.plan(done, wanted, ("p", "q")) == expected


def test_runs_come_back_as_they_were_kept_but_for_a_line_that_was_cut_short(tmp_path: Path) -> None:
    store.append(tmp_path, run("x", "p"))
    store.append(tmp_path, run("x", "q"))
    with (tmp_path / "runs.jsonl").open("a") as file:
        file.write('{"fault": "x", "conten')
    assert store.read(tmp_path) == [run("x", "p"), run("x", "q")]


def test_a_folder_without_runs_has_none(tmp_path: Path) -> None:
    assert store.read(tmp_path) == []


def test_the_same_versions_go_on_in_the_same_folder_and_others_get_one_of_their_own(tmp_path: Path) -> None:
    first = store.open_folder(tmp_path, {**NEW, "pgherd": "0.1.0 (a)"})
    second = store.open_folder(tmp_path, NEW)
    assert first != second
    assert store.open_folder(tmp_path, NEW) == second
    assert store.open_folder(tmp_path, {**NEW, "pgherd": "0.1.0 (a)"}) == first


def test_results_name_the_hardware_and_not_the_machine() -> None:
    assert set(store.machine()) == {"CPU", "cores", "memory", "kernel"}
