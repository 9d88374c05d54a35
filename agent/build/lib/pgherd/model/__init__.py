"""Immutable values that every layer shares. Imports nothing of ours and does no I/O."""
