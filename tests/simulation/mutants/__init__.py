"""Mutants of shipped code, and whether the simulation catches them: `python -m tests.simulation.mutants`."""
