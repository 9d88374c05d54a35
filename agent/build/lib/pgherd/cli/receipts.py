"""The history of changes of the leader as `pgherd history` shows it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from pgherd.model.settings import InvalidSetting

HEADER = ("Epoch", "TL", "From", "To", "At LSN", "Reason", "Detected", "Took", "At risk")


def receipts(history: str | None) -> list[dict[str, Any]]:
    """The annotation's receipts, newest last. Raises InvalidSetting when they cannot be read."""
    try:
        return msgspec.json.decode(history, type=list[dict[str, Any]]) if history else []
    except msgspec.MsgspecError as error:
        raise InvalidSetting(f"annotation history cannot be read: {error}") from None


def row(receipt: Mapping[str, Any]) -> tuple[str, ...]:
    sender, taker, reason = (receipt.get(key) or {} for key in ("from", "to", "reason"))
    return (
        str(receipt.get("epoch", "")),
        f"{sender.get('timeline', '?')} -> {taker.get('timeline', '?')}",
        sender.get("member", ""),
        taker.get("member", ""),
        taker.get("lsn", ""),
        reason.get("text") or reason.get("code", ""),
        receipt.get("detected", ""),
        _took(receipt),
        f"{receipt.get('at_risk_bytes', 0)} B",
    )


def _took(receipt: Mapping[str, Any]) -> str:
    """From detection to the first write."""
    try:
        begin, end = (datetime.fromisoformat(receipt[key]) for key in ("detected", "first_write"))
    except (KeyError, ValueError, TypeError):
        return ""
    return f"{(end - begin).total_seconds():.3f} s"
