"""Upstream Kubernetes on one machine: built from its Go modules, started, broken on purpose, and ended."""

__version__ = "0.1.0"
