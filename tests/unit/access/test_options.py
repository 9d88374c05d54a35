"""Options of a declared user: understood, or refused with the user's name."""

from __future__ import annotations

import pytest

from pgherd.access.options import FLAGS, Options, parse
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


def test_nothing_declared_is_nothing_decided() -> None:
    assert parse("app", "") == parse("app", " \n\t ") == Options()


@pytest.mark.parametrize(("word", "column"), FLAGS.items())
def test_every_flag_can_be_given_and_taken(word: str, column: str) -> None:
    assert parse("app", word).flags == {column: True}
    assert parse("app", f"no{word.lower()}").flags == {column: False}


@pytest.mark.parametrize(
    ("text", "flags", "limit", "until"),
    [
        ("LOGIN NOLOGIN", {"rolcanlogin": False}, None, None),
        ("connection limit -1", {}, -1, None),
        ("CONNECTION LIMIT 1 CONNECTION LIMIT 2", {}, 2, None),
        ("VALID UNTIL 'infinity' CREATEROLE", {"rolcreaterole": True}, None, "infinity"),
        ("VALID  UNTIL\n'2030-01-01 12:00 UTC'", {}, None, "2030-01-01 12:00 UTC"),
    ],
)
def test_the_last_word_counts(text: str, flags: dict[str, bool], limit: int | None, until: str | None) -> None:
    found = parse("app", text)
    assert (dict(found.flags), found.connection_limit, found.valid_until) == (flags, limit, until)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("NO", "'NO' is not allowed"),
        ("NONOLOGIN", "'NONOLOGIN' is not allowed"),
        ("ADMIN boss", "'ADMIN' is not allowed"),
        ("LOGIN,CREATEDB", "',' is not allowed"),
        ("CONNECTION", "'CONNECTION' is not allowed"),
        ("CONNECTION LIMIT", "CONNECTION LIMIT : must be a number"),
        ("CONNECTION LIMIT -2", "CONNECTION LIMIT -2: must be a number"),
        ("CONNECTION LIMIT 9999999999", "must be a number"),
        ("VALID UNTIL", "VALID UNTIL : must be a time in single quotes"),
        ("VALID UNTIL ''", "must be a time in single quotes"),
        ("VALID UNTIL 'it''s'", "is not allowed"),
        ("VALID UNTIL 'a\\'b'", "is not allowed"),
        ("LOGIN " * 40, "240 characters, at most 200"),
    ],
)
def test_a_refusal_names_what_is_not_understood_and_what_is(text: str, named: str) -> None:
    with pytest.raises(InvalidSetting) as refused:
        parse("app", text)
    assert str(refused.value).startswith("users[app].options: ") and named in str(refused.value)


def test_a_password_is_never_repeated() -> None:
    with pytest.raises(InvalidSetting) as refused:
        parse("app", "LOGIN PASSWORD 'hunter2'")
    assert "hunter2" not in str(refused.value)
