"""What a member says of rules that its PostgreSQL refuses: it goes to logs, the pod's annotation and who asks."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pgherd.postgres import check


class Server:
    """Refuses line 2 of pg_hba.conf with `error`."""

    def __init__(self, error: str) -> None:
        self.error = error
        self.info = SimpleNamespace(server_version=140000)

    async def execute(self, sql: bytes) -> Any:
        async def fetchall() -> list[dict[str, Any]]:
            return [{"line_number": 2, "error": self.error}]

        return SimpleNamespace(fetchall=fetchall)


def said(line: str, error: str) -> str:
    (text,) = asyncio.run(check.rules(cast(Any, Server(error)), f"local all all peer\n{line}\n", ""))
    return text


def test_a_refused_rule_is_named_with_postgresqls_words() -> None:
    error = 'invalid authentication method "pear"'
    assert said("local all all pear", error) == f"pg_hba: 'local all all pear': {error}"


@pytest.mark.parametrize(
    ("line", "error", "expected"),
    [
        ("ldap ldapbindpasswd=hunter2 ldapport=x", 'invalid LDAP port number: "x"', "ldap ldapbindpasswd="),
        (
            'ldap "ldapbindpasswd=a hunter2" x=1',
            'unrecognized authentication option name: "x"',
            'ldap "ldapbindpasswd=',
        ),
        (
            "radius radiussecrets=one,hunter2",
            "authentication option not in name=value format: hunter2",
            "radius radiussecrets=",
        ),
    ],
)
def test_a_secret_in_a_refused_rule_is_not_said(line: str, error: str, expected: str) -> None:
    text = said(line, error)
    assert "hunter2" not in text and f"{expected}********" in text
    assert error.partition(":")[0] in text
