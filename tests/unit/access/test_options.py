"""Options of a declared user: understood, or refused with the user's name."""

from __future__ import annotations

import pytest

from pgherd.access.options import parse
from pgherd.model.settings import InvalidSetting


def test_words_become_columns() -> None:
    found = parse("app", "CREATEDB nologin CONNECTION LIMIT 5 VALID UNTIL '2030-01-01'")
    assert found.flags == {"rolcreatedb": True, "rolcanlogin": False}
    assert (found.connection_limit, found.valid_until) == (5, "2030-01-01")


@pytest.mark.parametrize(
    "text", ["PASSWORD 'x'", "CREATEDB; DROP TABLE a", "LOGIN -- no", "CONNECTION LIMIT many", "VALID UNTIL never"]
)
def test_what_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(InvalidSetting, match=r"users\[app\]\.options"):
        parse("app", text)
