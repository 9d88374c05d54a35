"""What a user's Secret asks for: the verifier that the role is to have, by PGO's rules.

Both keys set: the verifier counts, as it is. Only a password: its verifier is computed here. Neither: the role keeps
what it has until the play has made a new pair. The Secret itself is the play's; an agent may only read it.
"""

from __future__ import annotations

import msgspec

from pgherd.access import scram
from pgherd.model.access import Code, SecretSeen


class Wanted(msgspec.Struct, frozen=True):
    """`verifier` is None where the role keeps its password."""

    verifier: str | None
    code: Code
    text: str = ""
    version: str = ""

    def __repr__(self) -> str:
        return f"Wanted({self.code.value})"


def wanted(user: str, name: str, secret: SecretSeen | None, stored: str | None) -> Wanted:
    """`stored` is what the role has now: a password that fits it already needs no new verifier."""
    if secret is None:
        return Wanted(None, Code.SECRET_MISSING, f"Secret {name} is not there, or could not be read yet")
    try:
        password, verifier = (secret.data.get(key, b"").decode() for key in ("password", "verifier"))
    except UnicodeDecodeError:
        return Wanted(None, Code.SECRET_INVALID, f"Secret {name}: password and verifier must be UTF-8 text")
    if not password and not verifier:
        text = f"Secret {name} has neither password nor verifier: run the play, which makes a new pair"
        return Wanted(None, Code.SECRET_BLANK, text)
    if not verifier:
        fits = stored is not None and scram.matches(user, password, stored)
        return Wanted(stored if fits else scram.verifier(password), Code.APPLIED, version=secret.version)
    if not scram.is_verifier(verifier):
        text = f"Secret {name}: the verifier is no SCRAM-SHA-256 verifier; blank it to have it computed"
        return Wanted(None, Code.SECRET_INVALID, text)
    if password and scram.matches(user, password, verifier) is False:
        text = f"Secret {name}: its verifier counts, and is not its password's; blank the verifier to set that password"
        return Wanted(verifier, Code.VERIFIER_DIFFERS, text, secret.version)
    return Wanted(verifier, Code.APPLIED, version=secret.version)


class Passwords:
    """Remembers what each Secret asked for, so that unchanged ones cost no arithmetic. Lives with the agent."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, str | None, Wanted]] = {}

    def wanted(self, user: str, name: str, secret: SecretSeen | None, stored: str | None) -> Wanted:
        known = self._known.get(user)
        if secret is not None and known is not None and known[:2] == (secret.version, stored):
            return known[2]
        found = wanted(user, name, secret, stored)
        if secret is not None and secret.version:
            # A verifier computed here is what the role has from now on.
            settled = found.verifier if found.verifier is not None else stored
            self._known[user] = (secret.version, settled, found)
        return found
