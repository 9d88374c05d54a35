"""Declared roles and databases of a cluster, kept as declared by the primary's agent. Imports model only."""

from pgherd.access.executor import Incomplete, apply, beside

__all__ = ["Incomplete", "apply", "beside"]
