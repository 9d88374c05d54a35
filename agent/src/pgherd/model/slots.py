"""The physical replication slot of a member: one rule that primary, replica and lease share."""

from __future__ import annotations

import re

LONGEST = 63
"""PostgreSQL's NAMEDATALEN - 1: slot names are identifiers."""


def slot_name(member: str) -> str:
    """Slot that `member` streams from: lower case, everything outside [a-z0-9_] becomes "_", at most 63 characters."""
    return re.sub(r"[^a-z0-9_]", "_", member.lower())[:LONGEST]
