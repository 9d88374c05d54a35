"""The server that another one clones from, rewinds to or streams from."""

from __future__ import annotations

import msgspec

from pgherd.model.standby import REMOTE


class Source(msgspec.Struct, frozen=True):
    member: str
    """Pod name, whose certificate is checked against `<member>.<cluster>-pods`; or REMOTE."""
    address: str
    """IP address: no name service is needed to connect. Of the remote primary as configured; "" for an archive only."""
    port: int
    slot: str
    """Physical slot on the source that the follower streams from (model.slots.slot_name of the follower)."""
    restore_command: str = ""
    """Shell command that fetches WAL which the source no longer has; "" for none."""
    archive_cleanup_command: str = ""
    recovery_min_apply_delay: str = ""
    sslmode: str = "verify-full"

    @property
    def remote(self) -> bool:
        return self.member == REMOTE
