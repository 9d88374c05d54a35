"""docs/reasons.md has a row for every code that a decision or a declared user can have, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgherd.model.access import Code
from pgherd.model.server import Process
from pgherd.model.view import TaskKind

ROOT = Path(__file__).resolve().parents[3]
SOURCES = sorted((ROOT / "agent/src/pgherd/decide").glob("*.py"))
PAGE, _, USERS = (ROOT / "docs/reasons.md").read_text().partition("## Users and databases")

PLACES = {"Reason": 0, "unsafe": 1, "give_up": 2}
"""Function -> which argument is the code."""
COMPUTED = {
    "task.kind.value": {kind.value for kind in TaskKind},
    "view.task.kind.value": {kind.value for kind in TaskKind},
    "state": {Process.STARTING.value, Process.STOPPING.value},  # holder.restless
    "code": set[str](),  # what unsafe and give_up were called with
}
"""A code that is no literal -> what it can be. Anything else must be added here, and to the page."""


def codes(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        name = node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            name = node.func.id
        if not isinstance(node, ast.Call) or name not in PLACES:
            continue
        given = node.args[PLACES[name]]
        if isinstance(given, ast.Constant):
            yield str(given.value)
        else:
            text = ast.unparse(given)
            assert text in COMPUTED, f"line {node.lineno}: the code {text} is no literal, and not known to this test"
            yield from COMPUTED[text]


def rows(page: str = PAGE) -> list[tuple[str, ...]]:
    lines = [line for line in page.splitlines() if line.startswith("| `")]
    return [tuple(cell.strip() for cell in line.strip("|").split(" |")) for line in lines]


def test_every_code_has_a_row_and_every_row_a_code() -> None:
    used = {code for path in SOURCES for code in codes(ast.parse(path.read_text()))}
    written = {row[0].strip("`") for row in rows()}
    assert written - used == set(), "rows without a code"
    assert used - written == set(), "codes without a row"


def test_every_state_of_a_user_has_a_row() -> None:
    assert [row[0].strip("`") for row in rows(USERS)] == sorted(code.value for code in Code)


@pytest.mark.parametrize("page", [PAGE, USERS])
def test_rows_are_sorted_complete_and_there_once(page: str) -> None:
    names = [row[0] for row in rows(page)]
    assert names == sorted(set(names), key=lambda name: name.strip("`"))
    assert all(len(row) == 3 and row[1] for row in rows(page))


@pytest.mark.parametrize("source", ["Reason(text, 'why')", "holder.give_up(view, record, f'{kind}-failed', '')"])
def test_a_computed_code_does_not_go_unnoticed(source: str) -> None:
    with pytest.raises(AssertionError, match="is no literal"):
        list(codes(ast.parse(source)))


def test_codes_look_alike() -> None:
    assert all(re.fullmatch(r"`[a-z]+(-[a-z]+)*`", row[0]) for row in rows())
