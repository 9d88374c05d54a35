"""Changes of the configuration on the command line: what becomes of each word, and what is shown."""

from __future__ import annotations

from typing import Any

import pytest

from pgherd.cli import edit
from pgherd.model.settings import InvalidSetting
from pgherd.postgres.change import merged

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


def test_the_difference_shows_what_changes_and_nothing_else() -> None:
    shown = edit.difference(BEFORE, merged(BEFORE, {"ttl": 20, "pause": True}))
    assert "-ttl: 30" in shown and "+ttl: 20" in shown and "+pause: true" in shown and "---" not in shown
    assert edit.difference(BEFORE, BEFORE) == ""
