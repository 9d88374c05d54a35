"""The one error that the lab raises on purpose: its text is for the person who must act."""

from __future__ import annotations


class LabError(Exception):
    """What failed, on what, why, and what to do; the command line prints it and exits with 1."""
