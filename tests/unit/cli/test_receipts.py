"""The receipts of `pgherd history`: whole ones, old ones with less in them, and what cannot be read."""

from __future__ import annotations

from typing import Any

import pytest

from pgherd.cli.receipts import HEADER, receipts, row
from pgherd.model.settings import InvalidSetting

WHOLE: dict[str, Any] = {
    "epoch": 3, "from": {"member": "m0", "timeline": 1}, "to": {"member": "m1", "timeline": 2, "lsn": "0/3000060"},
    "reason": {"code": "handover", "text": "m0 handed the lease over"}, "at_risk_bytes": 0,
    "detected": "2026-01-01T00:00:00+00:00", "first_write": "2026-01-01T00:00:00.420000+00:00",
}  # fmt: skip


def cell(name: str, **changes: Any) -> str:
    return dict(zip(HEADER, row({**WHOLE, **changes}), strict=True))[name]


def test_every_column_has_its_cell() -> None:
    assert row(WHOLE) == (
        "3", "1 -> 2", "m0", "m1", "0/3000060", "m0 handed the lease over", WHOLE["detected"], "0.420 s", "0 B",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "changes", "shown"),
    [
        ("From", {"from": None}, ""),
        ("TL", {"from": None}, "? -> 2"),
        ("TL", {"from": {}, "to": {}}, "? -> ?"),
        ("Reason", {"reason": {"code": "released"}}, "released"),
        ("Reason", {"reason": None}, ""),
        ("Took", {"first_write": None}, ""),
        ("Took", {"detected": "yesterday"}, ""),
        ("Took", {"first_write": "2026-01-01T00:00:12+00:00"}, "12.000 s"),
        ("At risk", {"at_risk_bytes": 8192}, "8192 B"),
    ],
)
def test_what_a_receipt_does_not_say_is_left_empty(name: str, changes: dict[str, Any], shown: str) -> None:
    assert cell(name, **changes) == shown


def test_a_receipt_with_nothing_in_it_is_a_row_still() -> None:
    assert len(row({})) == len(HEADER)


@pytest.mark.parametrize("history", [None, "", "[]"])
def test_no_history_is_no_error(history: str | None) -> None:
    assert receipts(history) == []


@pytest.mark.parametrize("history", ["{", "{}", "[1]", '["m0"]'])
def test_a_history_that_cannot_be_read_says_so(history: str) -> None:
    with pytest.raises(InvalidSetting, match="annotation history cannot be read"):
        receipts(history)
