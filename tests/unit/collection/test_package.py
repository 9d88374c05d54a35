"""What `ansible-galaxy collection build` packs: what an installed collection needs and a person reads, nothing else."""

from __future__ import annotations

import subprocess
from fnmatch import fnmatch

import yaml

from .conftest import ROOT

PACKED = {
    "LICENSE",
    "LICENSES",
    "README.md",
    "changelogs",
    "docs",
    "galaxy.yml",
    "meta",
    "playbooks",
    "plugins",
    "roles",
}


def test_only_what_an_installed_collection_needs_is_packed() -> None:
    ignored = yaml.safe_load((ROOT / "galaxy.yml").read_text())["build_ignore"]
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    top = {name.split("/")[0] for name in tracked.splitlines()}
    assert {name for name in top if not any(fnmatch(name, pattern) for pattern in ignored)} == PACKED


def test_nothing_that_is_packed_reads_what_is_not() -> None:
    for folder in ("plugins", "roles", "playbooks"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".yml", ".j2"}:
                text = path.read_text()
                assert not [name for name in ("agent/", "lab/", "pgherd_lab") if name in text], path
