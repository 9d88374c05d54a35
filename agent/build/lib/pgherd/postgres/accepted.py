"""The part of the configuration that PostgreSQL was proved to take: what a start uses while a newer one is not proved.

A file on the volume, outside the data directory: a clone or a rewind changes nothing about it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pgherd.model.settings import PostgresConfiguration
from pgherd.postgres import incarnation
from pgherd.postgres.layout import Layout

FILE = "accepted.json"
UNPROVED = ("# the configured rules were not proved yet",)
"""In place of rules: nobody but the product gets in, until the running server has read them."""


class Accepted(msgspec.Struct, frozen=True):
    postgresql: PostgresConfiguration | None = None
    """The newest that passed every check."""
    started: dict[str, Any] | None = None
    """The newest parameters that a server has started with."""


def read(layout: Layout) -> Accepted:
    try:
        return msgspec.json.decode((layout.state / FILE).read_bytes(), type=Accepted)
    except (OSError, msgspec.MsgspecError):
        return Accepted()


def write(layout: Layout, accepted: Accepted) -> None:
    """Durable; blocking."""
    if read(layout) != accepted:
        incarnation.write_durably(layout.state / FILE, msgspec.json.encode(accepted).decode())


def for_start(
    wanted: PostgresConfiguration, accepted: Accepted, problems: bool, failed: dict[str, Any] | None
) -> PostgresConfiguration:
    """What to start with. `problems`: its parameters are refused; `failed`: the server did not start with these."""
    before = accepted.postgresql
    parameters = wanted.parameters
    if problems:
        parameters = before.parameters if before else accepted.started or {}
    if failed is not None and parameters == failed and accepted.started is not None:
        parameters = accepted.started
    if before == wanted:
        return msgspec.structs.replace(wanted, parameters=parameters)
    hba = before.pg_hba if before else UNPROVED if wanted.pg_hba else ()
    ident = before.pg_ident if before else ()
    return msgspec.structs.replace(wanted, parameters=parameters, pg_hba=hba, pg_ident=ident)
