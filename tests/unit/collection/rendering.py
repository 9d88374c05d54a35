"""Templates of role cluster, rendered as the role renders them but without Ansible."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.pgherd.postgres.plugins.module_utils.declaration import declare
from jinja2 import Environment, FileSystemLoader, StrictUndefined

ROLE = Path(__file__).resolve().parents[3] / "roles" / "cluster"


def variables(**changes: Any) -> dict[str, Any]:
    """A declaration that is accepted, with `postgres_` put before the names of the changes."""
    base = {
        "postgres_namespace": "databases",
        "postgres_image": "registry.example/pgherd:1",
        "postgres_instances": [{"name": "instance1", "replicas": 3, "storage": "1Gi"}],
    }
    return {**base, **{f"postgres_{name}": value for name, value in changes.items()}}


def cluster(**changes: Any) -> dict[str, Any]:
    return declare(variables(**changes), "demo")


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(ROLE / "templates"), undefined=StrictUndefined, trim_blocks=True, autoescape=False
    )
    made.filters["to_json"] = lambda value, **options: json.dumps(value, **options)
    made.filters["combine"] = lambda value, *others: {
        key: each for part in (value, *others) for key, each in part.items()
    }
    made.filters["from_yaml"] = yaml.safe_load
    made.globals["lookup"] = lambda plugin, name: (ROLE / "files" / name).read_text()
    return made


def rendered(declared: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Objects to apply, and objects that are made once."""
    names = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())["cluster_templates"]
    environment = _environment()

    def documents(name: str) -> list[dict[str, Any]]:
        text = environment.get_template(name).render(cluster=declared)
        return [each for each in yaml.safe_load_all(text) if each]

    return [each for name in names for each in documents(name)], documents("created_once.yaml.j2")
