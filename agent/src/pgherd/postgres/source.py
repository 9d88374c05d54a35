"""The server that another one clones from, rewinds to or streams from."""

from __future__ import annotations

import msgspec


class Source(msgspec.Struct, frozen=True):
    member: str
    """Pod name; the certificate is checked against `<member>.<cluster>-pods`."""
    address: str
    """IP address: no name service is needed to connect."""
    port: int
    slot: str
    """Physical slot on the source that the follower streams from (model.slots.slot_name of the follower)."""
