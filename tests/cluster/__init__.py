"""Real pods on the lab's three nodes. Tests that break nodes are in files that sort last."""
