"""Changes of the dynamic configuration: what becomes of them, and what is refused and how."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pgherd.model.settings import InvalidSetting
from pgherd.postgres.change import LARGEST, checked, document, merged, unknown

BEFORE = {"ttl": 30, "loop_wait": 10, "postgresql": {"parameters": {"work_mem": "4MB", "jit": False}}}


@pytest.mark.parametrize(
    ("changes", "after"),
    [
        ({"ttl": 20}, {**BEFORE, "ttl": 20}),
        ({"ttl": None}, {name: BEFORE[name] for name in ("loop_wait", "postgresql")}),
        ({"none": None}, BEFORE),
        ({"postgresql": {"parameters": {"jit": None}}}, {**BEFORE, "postgresql": {"parameters": {"work_mem": "4MB"}}}),
        ({"postgresql": None}, {"ttl": 30, "loop_wait": 10}),
    ],
)
def test_changes_are_merged_and_null_removes(changes: Any, after: Any) -> None:
    assert merged(BEFORE, changes) == after
    assert BEFORE["ttl"] == 30


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"ttl": 11}, "ttl=11: must be at least"),
        ({"ttl": "long"}, r"\$.ttl"),
        ({"pause": "yes"}, r"\$.pause"),
        ({"postgresql": {"parameters": {"primary_conninfo": "x"}}}, "primary_conninfo='x': pgherd sets"),
        ({"postgresql": {"parameters": {"data_directory": "/x"}}}, "data_directory"),
        ({"postgresql": {"parameters": {"work mem": "1"}}}, "not a parameter name"),
        ({"postgresql": {"parameters": {"work_mem": [1]}}}, "must be text, a number or a boolean"),
    ],
)
def test_what_no_agent_would_obey_is_refused_by_name(changes: Any, named: str) -> None:
    with pytest.raises(InvalidSetting, match=named):
        checked(BEFORE, merged(BEFORE, changes))


def test_what_stood_there_before_is_not_refused_again() -> None:
    """The play lets `wal_level: logical` through: an edit of something else must not stumble over it."""
    before = {"postgresql": {"parameters": {"wal_level": "logical"}}}
    assert json.loads(checked(before, {**before, "pause": True}))["pause"] is True


def test_senders_are_the_users_where_they_are_more() -> None:
    checked({}, {"postgresql": {"parameters": {"max_wal_senders": 50}}})


@pytest.mark.parametrize(("text", "named"), [("a: [", "cannot be read"), ("- a", "mapping"), ("x", "mapping")])
def test_a_document_that_is_no_configuration_is_refused(text: str, named: str) -> None:
    with pytest.raises(InvalidSetting, match=named):
        document(text, "the file")


def test_new_keys_that_nobody_knows_are_told() -> None:
    assert unknown({"old": 1}, {"old": 1, "tttl": 5, "pause": True}) == ["tttl"]


def test_what_no_object_could_keep_is_refused() -> None:
    with pytest.raises(InvalidSetting, match=f"must be at most {LARGEST}"):
        checked({}, {"note": "x" * LARGEST})
