"""Programs of the user that make a data directory: a copy of the cluster (clone methods), or a new one (bootstrap).

Patroni's shape: a list of names, and a section of each name with `command`, `keep_data`, `no_params`; every other key
is an argument `--key=value` of the program. Pure.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
KEY = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")
SECRET = re.compile(r"passw|passphrase|secret|token|credential|private", re.IGNORECASE)
LONGEST = 7 * 86400.0
HALF_A_DAY = 43200.0


class Unusable(ValueError):
    """A method that cannot work; the text names field, value and what is allowed."""


class Method(msgspec.Struct, frozen=True):
    name: str
    command: str = ""
    """Command line that begins with an absolute path; empty: pg_basebackup, or initdb."""
    keep_data: bool = False
    """It gets the data that are to be replaced, and changes them into the copy."""
    no_params: bool = False
    """It gets no --scope, --role, --datadir and --connstring; where the data belong says PGDATA."""
    time_limit: float = HALF_A_DAY
    """Seconds; then it is killed, and the next method is tried."""
    arguments: tuple[tuple[str, str], ...] = ()


BASEBACKUP = Method("basebackup")
INITDB = Method("initdb")


def clone_methods(postgresql: Any, taken: Sequence[str]) -> tuple[Method, ...]:
    """Those of `postgresql.create_replica_methods`, in order. `taken` are other keys there. Raises Unusable."""
    field = "postgresql.create_replica_methods"
    section = postgresql if isinstance(postgresql, Mapping) else {}
    names = section.get("create_replica_methods", [BASEBACKUP.name])
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise Unusable(f"{field}={names!r}: must be a list of names, such as [{BASEBACKUP.name}]")
    if len(set(names)) < len(names):
        raise Unusable(f"{field}={names!r}: each method can be there once")
    return tuple(BASEBACKUP if name == BASEBACKUP.name else _method(field, name, section, taken) for name in names)


def bootstrap_method(section: Mapping[str, Any]) -> Method:
    """Of the static settings' `bootstrap`. Raises Unusable."""
    name = section.get("method", INITDB.name)
    if name == INITDB.name:
        return INITDB
    if not isinstance(name, str):
        raise Unusable(f"bootstrap.method={name!r}: must be a name, such as {INITDB.name}")
    method = _method("bootstrap", name, section, ("method",))
    if method.keep_data:
        raise Unusable(f"bootstrap.{name}.keep_data=True: a new cluster begins in an empty volume")
    return method


def _method(field: str, name: str, sections: Mapping[str, Any], taken: Sequence[str]) -> Method:
    if not NAME.fullmatch(name) or name in taken:
        raise Unusable(f"{field}: {name!r} must be a name of a-z, 0-9, _ and -, and none of {', '.join(sorted(taken))}")
    where = f"{field.partition('.')[0]}.{name}"
    given = sections.get(name)
    if not isinstance(given, Mapping):
        raise Unusable(f"{where}: is missing; it must be a mapping with at least command")
    for key, value in given.items():
        _check(f"{where}.{key}", key, value)
    switches = {key: given.get(key, False) for key in ("keep_data", "no_params")}
    known = {"command", "time_limit", *SWITCHES, *REFUSED}
    arguments = tuple((key, _text(value)) for key, value in given.items() if key not in known)
    limit = float(given.get("time_limit", HALF_A_DAY))
    return Method(name, _command(f"{where}.command", given.get("command")), **switches, time_limit=limit,
                  arguments=arguments)  # fmt: skip


SWITCHES = ("keep_data", "no_params", "no_leader", "keep_existing_recovery_conf")
REFUSED = {
    "no_leader": "must be false: a copy is compared with its leader's line before it may start",
    "keep_existing_recovery_conf": "must be false: recovery is pgherd's; what the WAL in pg_wal has is replayed",
    "recovery_conf": "must be empty: recovery is pgherd's; let the command recover as far as it should",
}
"""Keys of Patroni's that cannot be obeyed; what they mean when they are off is what is done."""


def _check(field: str, key: str, value: Any) -> None:
    if key in SWITCHES and not isinstance(value, bool):
        raise Unusable(f"{field}={value!r}: must be true or false")
    if key in REFUSED and value:
        raise Unusable(f"{field}={value!r}: {REFUSED[key]}")
    if key in ("command", *SWITCHES, *REFUSED):
        return
    if key == "time_limit":
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 <= value <= LONGEST:
            raise Unusable(f"{field}={value!r}: must be a number of seconds from 1 to {LONGEST:g}")
    elif SECRET.search(key):
        raise Unusable(f"{field}: would be seen in the process list; let the program read it from a file or a variable")
    elif not KEY.fullmatch(key) or not isinstance(value, (str, int, float, bool)) or "\0" in str(value):
        raise Unusable(f"{field}={value!r}: must be a text, a number, true or false, by a name of letters and digits")


def _command(field: str, given: Any) -> str:
    try:
        words = shlex.split(given) if isinstance(given, str) else []
    except ValueError as error:
        raise Unusable(f"{field}={given!r}: is no command line: {error}") from None
    if not words or not words[0].startswith("/"):
        raise Unusable(f"{field}={given!r}: must begin with the absolute path of a program")
    return str(given)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
