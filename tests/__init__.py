"""Tests by what they need: unit (nothing), simulation (virtual time), ha (root, API server), cluster (the whole lab)."""
