"""What is generated from the collection's own declarations is in the repository as it would be generated now."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.pgherd.postgres.plugins.module_utils.operations import INPUTS
from tools import generate

from .serving import environment


def test_generated_files_are_current() -> None:
    made = generate.files()
    stale = [path for path, text in made.items() if not path.exists() or path.read_text() != text]
    assert not stale, "run: python tools/generate.py"
    left = set((generate.ROOT / "awx" / "surveys").iterdir()) - set(made)
    assert not left, "of no playbook any more"


def test_a_survey_asks_for_what_its_playbook_takes_and_for_nothing_of_the_inventory() -> None:
    asked = {name: {each["variable"] for each in survey["spec"]} for name, survey in generate.surveys().items()}
    assert set().union(*(names for playbook, names in asked.items() if playbook in generate.ROLES)) == set(INPUTS)
    assert asked["renew_certificates"] == {generate.RENEWED}
    assert asked["site"] == set(generate.OF_A_RUN)
    for name in asked:
        assert (generate.ROOT / "playbooks" / f"{name}.yml").exists()
        text = (generate.ROOT / "awx" / "surveys" / f"{name}.json").read_text()
        for question in json.loads(text)["spec"]:
            assert question["type"] in ("text", "textarea", "integer", "float", "multiplechoice")
            assert not question["question_description"].startswith("["), "one text"


def sent(question: dict[str, Any]) -> bool:
    """Whether AWX makes an extra variable of a question that nobody answered: of a default that is a valid answer."""
    default, kind = question.get("default"), question["type"]
    if kind in ("text", "textarea"):
        return isinstance(default, str) and question["min"] <= len(default) <= question["max"]
    if kind in ("integer", "float"):
        return type(default) is int or (kind == "float" and isinstance(default, float))
    return default in question["choices"]


def test_what_nobody_answered_replaces_nothing_that_the_inventory_says() -> None:
    surveys = generate.surveys()
    questions = {each["variable"]: each for survey in surveys.values() for each in survey["spec"]}
    assert not [name for name, each in questions.items() if sent(each)]
    kinds = {each["type"] for each in questions.values()}
    assert kinds == {"text", "textarea", "integer", "multiplechoice"}, "each of them is looked at"
    for name, default in (("wait", "true"), ("wait_timeout", "300"), ("configuration_conflict", "fail")):
        question = questions[f"postgres_{name}"]
        assert question["question_description"].endswith(f"as the inventory says, or else {default}.")
        assert question["default"] == "", "AWX's form cannot show a choice without any"


def test_the_project_has_every_playbook_but_the_one_that_deletes(tmp_path: Path) -> None:
    project = generate.ROOT / "awx" / "project"
    names = {path.stem for path in project.glob("*.yml")} - {"clusters.pgherd"}
    assert names == {path.stem for path in (generate.ROOT / "playbooks").glob("*.yml")} - {"destroy"}
    inventory = tmp_path / "hosts.yml"
    inventory.write_text("postgres_clusters: {hosts: {demo: }}\n")
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    command = [program, "-i", str(inventory), "--syntax-check", *(f"{name}.yml" for name in sorted(names))]
    done = subprocess.run(command, cwd=project, env=environment("http://none"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_readme_lists_the_rights() -> None:
    role = list(yaml.safe_load_all((generate.ROOT / "docs" / "role.yaml").read_text()))[1]
    needed = {resource: set(rule["verbs"]) for rule in role["rules"] for resource in rule["resources"]}
    verbs = {"get", "list", "watch", "create", "update", "patch", "delete"}
    said, before = dict[str, set[str]](), set[str]()
    for line in (generate.ROOT / "README.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        words = set(cells[0].removeprefix("the same, and ").split(", "))
        if len(cells) == 2 and words <= verbs:
            before = words | (before if cells[0].startswith("the same") else set())
            said.update(dict.fromkeys(cells[1].split(", "), before))
    assert said == needed


def test_the_role_is_of_one_namespace_and_has_no_wildcard() -> None:
    documents = list(yaml.safe_load_all((generate.ROOT / "docs" / "role.yaml").read_text()))
    assert [each["kind"] for each in documents] == ["ServiceAccount", "Role", "RoleBinding"]
    for rule in documents[1]["rules"]:
        words = [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        assert "*" not in words and not {"escalate", "bind", "impersonate"} & set(words)
        assert not [each for each in rule["resources"] if "/" in each or each in ("namespaces", "nodes")]
