"""Users and databases: what the play declares in ConfigMap `<cluster>-users`, and what the primary's agent says of it.

The declaration is not part of the pods' settings: it changes without touching a pod, and the primary of the moment
reads it. The report goes back into an annotation of the same object, where the play and `pgherd users` find it.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping

import msgspec

from pgherd.model.settings import InvalidSetting

STATES = ("present", "absent")


class Code(enum.StrEnum):
    """What became of a user or a database (docs/reasons.md)."""

    APPLIED = "applied"
    ABSENT = "absent"
    VERIFIER_DIFFERS = "verifier-differs"
    SECRET_MISSING = "secret-missing"
    SECRET_BLANK = "secret-blank"
    SECRET_INVALID = "secret-invalid"
    DECLARATION_REFUSED = "declaration-refused"
    POSTGRESQL_REFUSED = "postgresql-refused"
    OWNS_OBJECTS = "owns-objects"
    DATABASE_DIFFERS = "database-differs"
    TRYING = "trying"

    @property
    def fine(self) -> bool:
        """As declared."""
        return self in (Code.APPLIED, Code.ABSENT, Code.VERIFIER_DIFFERS)


class DeclaredUser(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    secret: str = ""
    """Name of the Secret with its password and verifier; empty for a user that is to be absent."""
    databases: tuple[str, ...] = ()
    options: str = ""
    roles: tuple[str, ...] = ()
    """Roles that it is to be a member of."""
    schema: bool = True
    """Whether it gets a schema of its name in each of its databases."""
    state: str = "present"
    reassign_to: str = ""
    """Who gets the objects of a user that is to be absent."""


class DeclaredExtension(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    schema: str = ""


class DeclaredDatabase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    owner: str = ""
    encoding: str = ""
    locale: str = ""
    connection_limit: int | None = None
    extensions: tuple[DeclaredExtension, ...] = ()
    state: str = "present"
    purge: bool = False
    """Without it an absent database is not dropped: its data would be gone."""


class Declared(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    users: tuple[DeclaredUser, ...] = ()
    databases: tuple[DeclaredDatabase, ...] = ()


class SecretSeen(msgspec.Struct, frozen=True):
    """One version of a Secret. Its data is shown to nobody."""

    version: str
    data: Mapping[str, bytes]

    def __repr__(self) -> str:
        return f"SecretSeen({self.version})"


class Said(msgspec.Struct, frozen=True):
    """What became of one user or database."""

    code: Code
    text: str = ""
    secret: str = ""
    """resourceVersion of the Secret that it was brought up to."""


class Drift(msgspec.Struct, frozen=True):
    """Something that somebody had changed by hand, and that was put back."""

    at: str
    what: str


class Report(msgspec.Struct, frozen=True):
    """The primary's word on one revision of the declaration."""

    revision: str
    member: str = ""
    users: Mapping[str, Said] = {}
    databases: Mapping[str, Said] = {}
    trouble: str = ""
    """Why nothing was done at all."""
    repaired: int = 0
    """Changes by hand that were put back since the cluster is there."""
    drift: tuple[Drift, ...] = ()
    """The last of them."""

    @property
    def wrong(self) -> dict[str, Said]:
        """What is not as declared, by `user NAME` or `database NAME`."""
        named = {f"user {name}": said for name, said in self.users.items()}
        named |= {f"database {name}": said for name, said in self.databases.items()}
        return {name: said for name, said in named.items() if not said.code.fine}


def revision(text: str) -> str:
    """Names one text of the declaration; the play computes the same."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_declared(text: str) -> Declared:
    """Raises InvalidSetting with the field's path."""
    try:
        declared = msgspec.json.decode(text, type=Declared)
    except msgspec.MsgspecError as error:
        raise InvalidSetting(f"declared users: {error}") from None
    for kind, entries in (("users", declared.users), ("databases", declared.databases)):
        for name, state in ((each.name, each.state) for each in entries):
            if state not in STATES:
                raise InvalidSetting(f"{kind}[{name}].state={state!r}: must be one of {', '.join(STATES)}")
    return declared


def read_report(text: str | None) -> Report | None:
    """None for what nobody wrote, or cannot be read: it is written anew."""
    try:
        return msgspec.json.decode(text, type=Report) if text else None
    except msgspec.MsgspecError:
        return None


def write_report(report: Report) -> str:
    return msgspec.json.encode(report).decode()
