"""What a mutant is: patches of shipped code, and the invariants of which one must fail."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Patch:
    file: str
    """Below agent/src/pgherd."""
    symbol: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    name: str
    invariants: tuple[str, ...]
    """Any of these must be what fails."""
    patches: tuple[Patch, ...]
    standby: bool = False
    """Tried on a standby cluster."""
    fault: str = ""
    """The only kind of fault that strikes: what it takes is rare by chance."""
