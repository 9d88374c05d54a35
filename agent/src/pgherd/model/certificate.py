"""A certificate in use, as its member publishes it: what the play waits for, and what a person is shown."""

from __future__ import annotations

import msgspec

SERVER, REPLICATION, REST = "server", "replication", "rest"
REPLICATION_USER = "pgherd_replication"
POOLER_USER = "pgherd_pooler"
LOGINS = (REPLICATION_USER, POOLER_USER)
"""Common names of certificates that log a program in at PostgreSQL. They ask an agent for nothing."""


class CertificateState(msgspec.Struct, frozen=True):
    """One kind of certificate of one member. Fingerprints are SHA-256 of the DER form, in lower-case hex."""

    serves: str = ""
    """Of the certificate that new connections are made with; empty before there is one."""
    trusts: tuple[str, ...] = ()
    """Of the authorities that the other side's certificate is verified against."""
    expires: int | None = None
    """Seconds since 1970; None when the certificate did not prove itself (`refused` says why)."""
    refused: str = ""
    """Why the mounted files are not in use; empty when they are."""
