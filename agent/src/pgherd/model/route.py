"""Where the clients of Service `<cluster>-ha` are sent."""

from __future__ import annotations

import msgspec


class Route(msgspec.Struct, frozen=True):
    """One pod. Only `address` decides where packets go; the rest tells people whose it is."""

    address: str
    """Pod IP."""
    member: str = ""
    uid: str = ""
    """metadata.uid of the pod."""
