"""Tests by what they need: unit (nothing), simulation (virtual time), ha (root, an API server), cluster (the lab)."""
