"""What can go wrong with a server, in words for the person who must act."""

from __future__ import annotations


class PostgresError(RuntimeError):
    """Base of all errors of this layer."""


class ToolFailed(PostgresError):
    """A program ended badly or took too long; `output` is the end of what it said."""

    def __init__(self, program: str, why: str, output: str) -> None:
        super().__init__(f"{program} {why}: {output.strip() or 'no output'}")
        self.program = program
        self.output = output


class FenceRefused(PostgresError):
    """The fence would not do it; the text is its reason."""


class FenceSilent(PostgresError):
    """The fence did not answer in time, or its socket is closed."""


class NotArmed(PostgresError):
    """The fence's deadline has passed or was never set: nothing may become writable (S4)."""


class StartFailed(PostgresError):
    """PostgreSQL ended or did not answer while it was being started."""


class PromoteFailed(PostgresError):
    """The server did not become writable. The promotion may still happen: only a killing pass takes it back."""


class WrongTimeline(PostgresError):
    """The promoted server is on another timeline than the lease names (S2)."""

    def __init__(self, wanted: int, found: int) -> None:
        super().__init__(f"promoted onto timeline {found}, but the lease names {wanted}: stop it and take again")
        self.wanted = wanted
        self.found = found


class WouldDestroy(PostgresError):
    """There is data where none may be overwritten (S5, S7)."""
