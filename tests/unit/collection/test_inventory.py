"""The inventory as `ansible-inventory` discovers it: hosts, groups, variables, a cache, and clear errors."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgherd.postgres.plugins.module_utils.client import ApiError
from ansible_collections.pgherd.postgres.plugins.module_utils.discovery import Forbidden, discover
from ansible_collections.pgherd.postgres.plugins.module_utils.names import path

from .agents import NAMESPACE, A, Agents, B, C
from .memory import Memory
from .serving import environment, served

PREFIX = "pgherd.dev/"
_BESIDE = Path(sys.executable).with_name("ansible-inventory")
PROGRAM = _BESIDE if _BESIDE.exists() else shutil.which("ansible-inventory")


def labelled() -> Agents:
    api = Agents()
    api.objects[path("Endpoints", NAMESPACE, "demo-ha")]["metadata"]["labels"] = {f"{PREFIX}cluster": "demo"}
    api.objects[path("Pod", NAMESPACE, A)]["metadata"]["labels"][f"{PREFIX}role"] = "primary"
    said = {"timeline": 2, "streaming_from": A, "pending_restart": {"max_connections": []}}
    api.objects[path("Pod", NAMESPACE, B)]["metadata"]["annotations"] = {f"{PREFIX}status": json.dumps(said)}
    return api


def inventory(folder: Path, variables: dict[str, str], text: str, name: str = "demo.pgherd.yml") -> tuple[Any, str]:
    """What `ansible-inventory --list` prints, and what it says beside."""
    (folder / name).write_text(f"plugin: pgherd.postgres.clusters\n{text}\n")
    command = [str(PROGRAM), "-i", name, "--list"]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=120)
    # Text that is no template is marked so.
    plain = json.loads(done.stdout or "{}", object_hook=lambda found: found.get("__ansible_unsafe", found))
    return plain, done.stderr


def test_clusters_and_members_with_what_is_true_now(tmp_path: Path) -> None:
    text = """namespaces: [databases]
groups: {behind: 'pgherd_lag | default(0, true) > 50'}
compose: {where: pgherd_node ~ '/' ~ pgherd_pod}
keyed_groups: [{key: pgherd_node, prefix: node}]"""
    with served(labelled()) as variables:
        found, said = inventory(tmp_path, variables, text)
    assert found.get("postgres_clusters", {}).get("hosts") == ["demo"], said
    members = {"postgres_members": [A, B, C], "cluster_demo": [A, B, C], "role_primary": [A], "role_replica": [B, C]}
    composed = {"behind": [B, C], "node_node1": [A, B, C]}
    assert {name: found[name]["hosts"] for name in (*members, *composed)} == {**members, **composed}
    facts = found["_meta"]["hostvars"]
    cluster, leader, replica = facts["demo"], facts[A], facts[B]
    assert (cluster["postgres_cluster_name"], cluster["postgres_namespace"]) == ("demo", "databases")
    assert (cluster["pgherd_leader"], cluster["pgherd_timeline"], cluster["pgherd_epoch"]) == (A, 2, 3)
    assert (leader["pgherd_role"], leader["pgherd_leads"], leader["pgherd_lag"]) == ("primary", True, None)
    assert (replica["pgherd_role"], replica["pgherd_timeline"], replica["pgherd_lag"]) == ("replica", 2, 100)
    assert replica["pgherd_pending_restart"] == ["max_connections"] and replica["where"] == f"node1/{B}"
    assert not [name for name in replica if name.startswith("postgres_")], "declare would refuse them"


def test_names_are_qualified_unless_one_namespace_is_meant_and_a_cache_answers_for_the_api(tmp_path: Path) -> None:
    text = """cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: cache"""
    with served(labelled()) as variables:
        first, said = inventory(tmp_path, variables, text)
    assert set(first["_meta"]["hostvars"]) == {f"{name}.databases" for name in ("demo", A, B, C)}, said
    again, said = inventory(tmp_path, variables, text)
    assert again == first, said


@pytest.mark.parametrize(
    ("answer", "name", "said"),
    [
        (
            ApiError("GET", "", 403, "forbidden"),
            "demo.pgherd.yml",
            "lacks the right to list pods in namespace databases",
        ),
        (None, "demo.pgherd.yml", "cannot be reached"),
        (None, "demo.yml", "demo.yml"),
    ],
    ids=["no right", "no API", "another file"],
)
def test_what_is_wrong_is_said(tmp_path: Path, answer: Any, name: str, said: str) -> None:
    api = labelled()
    if answer is None:
        found, text = inventory(tmp_path, environment("http://127.0.0.1:1"), "namespaces: [databases]", name)
    else:
        api.answers[path("Pod", NAMESPACE)] = answer
        with served(api) as variables:
            found, text = inventory(tmp_path, variables, "namespaces: [databases]", name)
    assert said in " ".join(text.split()) and "postgres_clusters" not in found


def test_without_the_right_to_look_everywhere_namespaces_must_be_named() -> None:
    api = labelled()
    api.answers["/api/v1/pods"] = ApiError("GET", "", 403, "forbidden")
    with pytest.raises(Forbidden, match=r"list pods in all namespaces; name those that it may see \(namespaces\)"):
        discover(api, [], PREFIX)


def test_a_cluster_without_a_lock_and_one_without_pods_are_shown() -> None:
    api = labelled()
    lock = api.objects.pop(path("Endpoints", NAMESPACE, "demo-ha"))
    (found,) = discover(api, [NAMESPACE], PREFIX)
    assert found.lease.leader == "" and len(found.members) == 3
    api.objects = {path("Endpoints", NAMESPACE, "demo-ha"): lock}
    (found,) = discover(api, [NAMESPACE], PREFIX)
    assert found.lease.leader == A and found.members == ()
    assert discover(Memory(), [NAMESPACE], PREFIX) == []


def test_status_shows_the_members_of_a_discovered_cluster_that_nobody_declares(tmp_path: Path) -> None:
    (tmp_path / "demo.pgherd.yml").write_text("plugin: pgherd.postgres.clusters\nnamespaces: [databases]\n")
    (tmp_path / "status.yml").write_text("- ansible.builtin.import_playbook: pgherd.postgres.status\n")
    program = (sys.executable, "-m", "ansible.cli.playbook")

    def members(*arguments: str) -> list[str]:
        with served(labelled()) as variables:
            shows = {**variables, "ANSIBLE_SHOW_CUSTOM_STATS": "1"}
            command = [*program, "-i", "demo.pgherd.yml", "status.yml", *arguments]
            done = subprocess.run(command, cwd=tmp_path, env=shows, capture_output=True, text=True, timeout=120)
        shown = re.search(r"^\s+RUN: (.*)", done.stdout, re.MULTILINE)
        assert shown, done.stdout + done.stderr
        return [each["name"] for each in json.loads(shown[1])["pgherd_status"]["demo"]["members"]]

    assert members() == [A, B, C]
    declares = {"postgres_instances": [{"name": "instance1", "storage": "1Gi", "members": ["demo-instance1-bbbb"]}]}
    assert members("-e", json.dumps(declares)) == [B]
