"""Changes of the configuration: what becomes of each word, what is refused and how, and what is shown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pgherd.cli import edit
from pgherd.model.settings import InvalidSetting

BEFORE = {"ttl": 30, "loop_wait": 10, "postgresql": {"parameters": {"work_mem": "4MB", "jit": False}}}


@pytest.mark.parametrize(
    ("word", "prefix", "nested"),
    [
        ("ttl=20", (), {"ttl": 20}),
        ("pause=true", (), {"pause": True}),
        ("postgresql.use_pg_rewind=off", (), {"postgresql": {"use_pg_rewind": False}}),
        ("ttl=null", (), {"ttl": None}),
        ("ttl=", (), {"ttl": None}),
        ("a={b: 1}", (), {"a": {"b": 1}}),
        ("work_mem=8MB", ("p",), {"p": {"work_mem": "8MB"}}),
        ("my.setting=x=y", ("p",), {"p": {"my.setting": "x=y"}}),
        ("search_path=a: b: c", ("p",), {"p": {"search_path": "a: b: c"}}),
    ],
)
def test_a_word_becomes_a_setting(word: str, prefix: tuple[str, ...], nested: Any) -> None:
    assert edit.assignment(word, prefix) == nested


@pytest.mark.parametrize("word", ["ttl", "=5", "a..b=1", ".a=1"])
def test_a_word_that_names_nothing_is_refused(word: str) -> None:
    with pytest.raises(InvalidSetting, match=r"NAME=VALUE|not the name"):
        edit.assignment(word)


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
    assert edit.merged(BEFORE, changes) == after
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
        edit.checked(BEFORE, edit.merged(BEFORE, changes))


def test_what_stood_there_before_is_not_refused_again() -> None:
    """The play lets `wal_level: logical` through: an edit of something else must not stumble over it."""
    before = {"postgresql": {"parameters": {"wal_level": "logical"}}}
    assert json.loads(edit.checked(before, {**before, "pause": True}))["pause"] is True


def test_senders_are_the_users_where_they_are_more() -> None:
    edit.checked({}, {"postgresql": {"parameters": {"max_wal_senders": 50}}})


@pytest.mark.parametrize(("text", "named"), [("a: [", "cannot be read"), ("- a", "mapping"), ("x", "mapping")])
def test_a_document_that_is_no_configuration_is_refused(text: str, named: str) -> None:
    with pytest.raises(InvalidSetting, match=named):
        edit.document(text, "the file")


def test_the_difference_shows_what_changes_and_nothing_else() -> None:
    shown = edit.difference(BEFORE, edit.merged(BEFORE, {"ttl": 20, "pause": True}))
    assert "-ttl: 30" in shown and "+ttl: 20" in shown and "+pause: true" in shown and "---" not in shown
    assert edit.difference(BEFORE, BEFORE) == ""


def test_new_keys_that_nobody_knows_are_told() -> None:
    assert edit.unknown({"old": 1}, {"old": 1, "tttl": 5, "pause": True}) == ["tttl"]
