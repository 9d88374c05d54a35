"""The Grafana dashboard: every query is PromQL over what the agents show, and no panel lies on another one."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.promtool import promtool
from tests.rules.test_alerts import ROOT, known

DASHBOARD: dict[str, Any] = json.loads((ROOT / "roles/cluster/files/dashboard.json").read_text())
VARIABLES = {"namespace": ".*", "cluster": "demo", "member": ".*", "__rate_interval": "5m"}


def expressions() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (each["expr"] for each in DASHBOARD["annotations"]["list"])


def filled(expression: str) -> str:
    """As Grafana sends it."""
    return re.sub(r"\$(\w+)", lambda found: VARIABLES[found[1]], expression)


def test_every_query_is_one(tmp_path: Path) -> None:
    """As recording rules, which promtool parses with Prometheus' own parser."""
    rules = [{"record": f"panel:{index}", "expr": filled(each)} for index, each in enumerate(expressions())]
    assert len(rules) > 30
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run([str(promtool()), "check", "rules", str(file)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_queries_use_only_what_the_agents_show() -> None:
    for each in expressions():
        assert known(each), each
    for variable in DASHBOARD["templating"]["list"]:
        assert known(str(variable.get("definition", ""))), variable["name"]


def test_every_selector_asks_for_one_cluster() -> None:
    for each in expressions():
        selectors = re.findall(r"\b(?:pgherd|process)_[a-z_]+(\{[^}]*\})?", each)
        assert selectors and all('cluster="$cluster"' in selector for selector in selectors), each


def test_variables_are_declared() -> None:
    declared = {each["name"] for each in DASHBOARD["templating"]["list"]} | {"__rate_interval"}
    used = {name for each in expressions() for name in re.findall(r"\$(\w+)", each)}
    assert used <= declared
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"] if "datasource" in panel} == {"${datasource}"}


def test_panels_say_what_they_show_and_do_not_overlap() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    assert all(panel["type"] == "row" or panel["description"].endswith(".") for panel in panels)
    cells = [
        (x, y)
        for grid in (panel["gridPos"] for panel in panels)
        for x, y in itertools.product(range(grid["x"], grid["x"] + grid["w"]), range(grid["y"], grid["y"] + grid["h"]))
    ]
    assert len(set(cells)) == len(cells) and max(x for x, _ in cells) < 24
