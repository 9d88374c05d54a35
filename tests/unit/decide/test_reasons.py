"""docs/reasons.md has a row for every code that a decision can give, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
FROM_STATE = {"busy states"}
"""Codes that are the names of tasks and process states."""


def codes(tree: ast.AST) -> Iterator[str]:
    """The text given as code to Reason, unsafe and give_up."""
    places = {"Reason": 0, "unsafe": 1, "give_up": 2}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in places:
            given = node.args[places[node.func.id]]
            if isinstance(given, ast.Constant) and isinstance(given.value, str):
                yield given.value


def test_every_code_has_a_row_and_every_row_a_code() -> None:
    used: set[str] = set()
    for path in (ROOT / "agent/src/pgherd/decide").glob("*.py"):
        used |= set(codes(ast.parse(path.read_text())))
    rows = set(re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs/reasons.md").read_text(), re.MULTILINE))
    assert rows - FROM_STATE == used
