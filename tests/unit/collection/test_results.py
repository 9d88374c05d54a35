"""What playbooks publish by set_stats: AWX hands it to the next node of a workflow as extra variables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from ansible_collections.pgherd.postgres.plugins.module_utils.declaration import declare

from .conftest import ROOT
from .rendering import variables


def published() -> set[str]:
    files = [path for folder in ("roles", "playbooks") for path in (ROOT / folder).rglob("*.yml")]
    return {name for path in files for name in _published(yaml.safe_load(path.read_text()))}


def _published(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (value.get("ansible.builtin.set_stats") or value.get("set_stats") or {}).get("data", ())
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _published(each)


def test_every_result_is_found() -> None:
    said = re.findall(r"`(pgherd_[a-z]+)`", (ROOT / "docs" / "awx.md").read_text().partition("artifacts have")[2])
    assert published() == set(said[: len(published())]) and len(published()) == 6


@pytest.mark.parametrize("name", sorted(published()))
def test_the_next_node_of_a_workflow_takes_a_result_for_no_declaration(name: str) -> None:
    result = {name: {"demo": {"leader": "demo-instance1-abcd-0"}}}
    assert declare({**variables(), **result}, "demo") == declare(variables(), "demo")


def test_a_result_hides_no_variable_of_a_discovered_host() -> None:
    text = (ROOT / "plugins" / "inventory" / "clusters.py").read_text()
    hosts = set(re.findall(r"pgherd_[a-z_]+", text))
    assert "pgherd_leader" in hosts and not hosts & published()
