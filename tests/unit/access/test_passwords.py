"""What a Secret asks for: PGO's rules, and verifiers as PostgreSQL computes them."""

from __future__ import annotations

import base64
import hashlib

import pytest

from pgherd.access import scram
from pgherd.access.passwords import Passwords, wanted
from pgherd.model.access import Code, SecretSeen

SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
PENCIL = (
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
    ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
)
"""RFC 7677's own example."""


def seen(**data: str) -> SecretSeen:
    return SecretSeen("7", {key: value.encode() for key, value in data.items()})


def test_the_example_of_the_rfc() -> None:
    assert scram.verifier("pencil", SALT) == PENCIL
    assert scram.matches("app", "pencil", PENCIL) is True and scram.matches("app", "pen", PENCIL) is False


@pytest.mark.parametrize(
    ("password", "prepared"),
    [
        ("plain", "plain"),
        ("with\ttab", "with\ttab"),  # ASCII is never touched
        ("I\u00adX", "IX"),  # RFC 4013's own examples
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("\u0627\u0031", "\u0627\u0031"),  # forbidden: taken as it is
        ("\u00ad", "\u00ad"),  # nothing would be left
        ("a\u0007ä", "a\u0007ä"),
    ],
)
def test_passwords_are_prepared_as_clients_do_it(password: str, prepared: str) -> None:
    assert scram.prepared(password) == prepared.encode()


@pytest.mark.parametrize(
    "text", ["", "hunter2", "SCRAM-SHA-256$0:c2FsdA==$c3RvcmVk:c2VydmVy", "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk",
             PENCIL + "\n", PENCIL + "' SUPERUSER", "md5" + "G" * 32, "md5" + "0" * 31]
)  # fmt: skip
def test_what_is_no_verifier_would_be_taken_for_a_password(text: str) -> None:
    assert not scram.is_verifier(text)


def test_an_md5_verifier_of_another_system_is_one() -> None:
    stored = "md5" + hashlib.md5(b"geheimapp").hexdigest()
    assert scram.is_verifier(stored) and scram.matches("app", "geheim", stored) is True
    assert scram.matches("other", "geheim", stored) is False


@pytest.mark.parametrize("stored", ["SCRAM-SHA-256$999999999:c2FsdA==$c3RvcmVk:c2VydmVy", "SCRAM-SHA-256$1:A$A:A", "x"])
def test_what_costs_too_much_or_cannot_be_read_is_not_compared(stored: str) -> None:
    assert scram.matches("app", "pencil", stored) is None


@pytest.mark.parametrize(
    ("data", "code", "verifier"),
    [
        ({"password": "pencil", "verifier": PENCIL}, Code.APPLIED, PENCIL),
        ({"verifier": PENCIL}, Code.APPLIED, PENCIL),
        ({"password": "", "verifier": PENCIL}, Code.APPLIED, PENCIL),
        ({"password": "other", "verifier": PENCIL}, Code.VERIFIER_DIFFERS, PENCIL),
        ({"password": "", "verifier": ""}, Code.SECRET_BLANK, None),
        ({}, Code.SECRET_BLANK, None),
        ({"verifier": "hunter2"}, Code.SECRET_INVALID, None),
    ],
)
def test_what_a_secret_asks_for(data: dict[str, str], code: Code, verifier: str | None) -> None:
    found = wanted("app", "demo-pguser-app", seen(**data), "stored")
    assert (found.code, found.verifier) == (code, verifier)
    assert "hunter2" not in f"{found!r}{found.text}" and PENCIL not in f"{found!r}{found.text}"
    assert not found.text or "demo-pguser-app" in found.text


def test_a_secret_that_is_not_there_or_no_text() -> None:
    assert wanted("app", "s", None, None).code is Code.SECRET_MISSING
    assert wanted("app", "s", SecretSeen("1", {"password": b"\xff\xfe"}), None).code is Code.SECRET_INVALID


def test_a_password_alone_keeps_a_verifier_that_fits() -> None:
    assert wanted("app", "s", seen(password="pencil"), PENCIL).verifier == PENCIL
    made = wanted("app", "s", seen(password="other"), PENCIL)
    assert made.verifier is not None and scram.matches("app", "other", made.verifier)


def test_an_unchanged_secret_costs_no_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    passwords, secret = Passwords(), seen(password="pencil")
    made = passwords.wanted("app", "s", secret, None)
    monkeypatch.setattr(scram, "verifier", lambda *arguments: pytest.fail("computed again"))
    assert passwords.wanted("app", "s", secret, made.verifier) == made
    monkeypatch.undo()
    by_hand = passwords.wanted("app", "s", secret, PENCIL.replace("W22", "W23"))
    assert by_hand.verifier != made.verifier, "somebody set another password in the server"


def test_a_secret_is_never_printed() -> None:
    assert "pencil" not in repr(seen(password="pencil")) + str(seen(password="pencil"))
