"""Declared roles and databases of a cluster, kept as declared by the primary's agent. Imports model only."""

from pgherd.access.executor import Done, Outcome, apply
from pgherd.access.passwords import Passwords

__all__ = ["Done", "Outcome", "Passwords", "apply"]
