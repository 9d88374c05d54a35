"""One JSON object a line on stderr, which is the container's log."""

from __future__ import annotations

import datetime
import sys
from typing import Any, TextIO

import msgspec


def wall() -> str:
    """Now, for people: ISO 8601, UTC, microseconds, "+00:00" (as Patroni writes times)."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")


class Log:
    """Lines of one member. `code` is stable and greppable; `text` is a sentence for a person."""

    def __init__(self, member: str, stream: TextIO | None = None) -> None:
        self._member = member
        self._stream = stream or sys.stderr

    def line(self, level: str, code: str, text: str, **more: Any) -> None:
        entry = {"time": wall(), "level": level, "member": self._member, "code": code, "text": text, **more}
        print(msgspec.json.encode(entry).decode(), file=self._stream, flush=True)

    def info(self, code: str, text: str, **more: Any) -> None:
        self.line("info", code, text, **more)

    def warning(self, code: str, text: str, **more: Any) -> None:
        self.line("warning", code, text, **more)

    def error(self, code: str, text: str, **more: Any) -> None:
        self.line("error", code, text, **more)


class Changing:
    """Logs a sentence when it differs from the one before: what repeats is said once."""

    def __init__(self, log: Log, level: str, code: str) -> None:
        self._log, self._level, self._code = log, level, code
        self._last = ""

    def __call__(self, text: str) -> None:
        if text and text != self._last:
            self._log.line(self._level, self._code, text)
        self._last = text
