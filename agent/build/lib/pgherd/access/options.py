"""The `options` of a declared user: a few words of ALTER ROLE, understood rather than passed on.

Only what is listed here is accepted (https://www.postgresql.org/docs/current/sql-alterrole.html): so there is
no way to smuggle a password, a second statement or a comment in, and the result can be compared with pg_authid.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from pgherd.model.settings import InvalidSetting

FLAGS: Mapping[str, str] = {
    "SUPERUSER": "rolsuper",
    "CREATEDB": "rolcreatedb",
    "CREATEROLE": "rolcreaterole",
    "INHERIT": "rolinherit",
    "LOGIN": "rolcanlogin",
    "REPLICATION": "rolreplication",
    "BYPASSRLS": "rolbypassrls",
}
"""Word -> column of pg_authid. NO before the word means false."""

LONGEST = 200
ALLOWED = f"[NO]{', [NO]'.join(FLAGS)}, CONNECTION LIMIT n, VALID UNTIL 'time'"

_TOKEN = re.compile(r"\s+|'([^'\\]*)'|([A-Za-z]+)|(-?\d+)")


class Options(msgspec.Struct, frozen=True):
    """None means "not declared": left as it is."""

    flags: Mapping[str, bool] = {}
    """By column of pg_authid."""
    connection_limit: int | None = None
    valid_until: str | None = None
    """As PostgreSQL reads a timestamptz."""


def parse(user: str, text: str) -> Options:
    """The declared options. Raises InvalidSetting naming the user, the part that is not understood, what is allowed."""
    if len(text) > LONGEST:
        raise InvalidSetting(f"users[{user}].options: {len(text)} characters, at most {LONGEST} are allowed")
    words, flags = _words(user, text), {}
    limit: int | None = None
    until: str | None = None
    for word in words:
        name = word.upper()
        if name.removeprefix("NO") in FLAGS:
            flags[FLAGS[name.removeprefix("NO")]] = not name.startswith("NO")
        elif name == "CONNECTION" and next(words, "").upper() == "LIMIT":
            limit = _number(user, next(words, ""))
        elif name == "VALID" and next(words, "").upper() == "UNTIL":
            until = _time(user, next(words, ""))
        else:
            raise _refused(user, word)
    return Options(flags, limit, until)


def _refused(user: str, word: str) -> InvalidSetting:
    # PASSWORD 'x' is refused at its first word: what follows it must not be repeated in a message.
    return InvalidSetting(f"users[{user}].options: {word!r} is not allowed (allowed: {ALLOWED})")


def _words(user: str, text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise _refused(user, text[at])
        at = found.end()
        if found[0].strip():
            yield found[0]


def _number(user: str, word: str) -> int:
    if not re.fullmatch(r"-?\d{1,9}", word) or int(word) < -1:
        raise InvalidSetting(f"users[{user}].options: CONNECTION LIMIT {word}: must be a number, -1 for no limit")
    return int(word)


def _time(user: str, word: str) -> str:
    if not (len(word) > 2 and word.startswith("'")):
        raise InvalidSetting(f"users[{user}].options: VALID UNTIL {word}: must be a time in single quotes")
    return word[1:-1]
