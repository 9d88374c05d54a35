"""`pgherd`: what a person types in a pod at three in the morning.

Asks the Kubernetes API itself and then every member's agent, one second each, so that it works beside a frozen
agent and says who did not answer. commands looks; change and asking change something, by compare-and-swap on what was
seen, or as a request that the agents execute. What a
command needs is imported when it runs.

Exit status: 0 done, 1 it could not be done (one sentence on standard error says why), 2 wrong usage.
"""


def main() -> None:
    """Console script."""
    from pgherd.cli import asking, change, commands, users

    assert {asking.requests.name, change.pause.name, users.users_.name} <= commands.pgherd.commands.keys()
    commands.pgherd(prog_name="pgherd")
