"""playbooks/destroy.yml: nobody deletes more than he meant."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT
from .memory import Memory
from .serving import served

INVENTORY = """
postgres_clusters:
  hosts:
    demo.prod: {postgres_cluster_name: demo, postgres_namespace: prod}
    demo.stage: {postgres_cluster_name: demo, postgres_namespace: stage}
    other: {postgres_namespace: prod}
  vars: {ansible_connection: local, ansible_python_interpreter: PYTHON}
"""


def destroyed(folder: Path, *arguments: str) -> tuple[set[str], str]:
    """Hosts whose cluster was deleted, and what the play printed."""
    (folder / "hosts.yml").write_text(INVENTORY.replace("PYTHON", sys.executable))
    playbook = str(ROOT / "playbooks" / "destroy.yml")
    command = [sys.executable, "-m", "ansible.cli.playbook", "-i", "hosts.yml", playbook, "--check", *arguments]
    with served(Memory()) as variables:
        done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=240)
    recap = [line.split() for line in done.stdout.partition("PLAY RECAP")[2].splitlines() if "failed=" in line]
    return {line[0] for line in recap if "failed=0" in line}, done.stdout


@pytest.mark.parametrize(
    ("arguments", "hosts"),
    [
        (("-e", "postgres_destroy=demo"), set()),
        (("-e", "postgres_destroy=demo", "--limit", "demo.stage"), {"demo.stage"}),
        (("-e", "postgres_destroy=stage/demo"), {"demo.stage"}),
    ],
    ids=["a name that two have", "limited to one", "with its namespace"],
)
def test_only_what_was_named(tmp_path: Path, arguments: tuple[str, ...], hosts: set[str]) -> None:
    found, said = destroyed(tmp_path, *arguments)
    assert found == hosts
    assert hosts or "postgres_destroy=stage/demo" in said
