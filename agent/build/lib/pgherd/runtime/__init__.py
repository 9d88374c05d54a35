"""The agent: one event loop that observes, decides (pgherd.decide) and carries out. `python3 -m pgherd.runtime`.

Tasks and their lifetimes are listed in `agent`. `state` is the one mutable thing that they share.
"""
