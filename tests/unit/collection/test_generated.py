"""What is generated from the collection's own declarations is in the repository as it would be generated now."""

from __future__ import annotations

import json

import yaml
from ansible_collections.pgherd.postgres.plugins.module_utils.operations import INPUTS
from tools import generate


def test_generated_files_are_current() -> None:
    made = generate.files()
    stale = [path for path, text in made.items() if not path.exists() or path.read_text() != text]
    assert not stale, "run: python tools/generate.py"
    left = set((generate.ROOT / "awx" / "surveys").iterdir()) - set(made)
    assert not left, "of no playbook any more"


def test_a_survey_asks_for_what_its_playbook_takes_and_for_nothing_of_the_inventory() -> None:
    asked = {name: {each["variable"] for each in survey["spec"]} for name, survey in generate.surveys().items()}
    assert set().union(*(names for playbook, names in asked.items() if playbook != "site")) == set(INPUTS)
    assert asked["site"] == set(generate.OF_A_RUN)
    for name in asked:
        assert (generate.ROOT / "playbooks" / f"{name}.yml").exists()
        text = (generate.ROOT / "awx" / "surveys" / f"{name}.json").read_text()
        for question in json.loads(text)["spec"]:
            assert question["type"] in ("text", "textarea", "integer", "float", "multiplechoice")
            assert not question["choices"] or question["default"] in question["choices"], question


def test_the_role_is_of_one_namespace_and_has_no_wildcard() -> None:
    documents = list(yaml.safe_load_all((generate.ROOT / "docs" / "role.yaml").read_text()))
    assert [each["kind"] for each in documents] == ["ServiceAccount", "Role", "RoleBinding"]
    for rule in documents[1]["rules"]:
        words = [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        assert "*" not in words and not {"escalate", "bind", "impersonate"} & set(words)
        assert not [each for each in rule["resources"] if "/" in each or each in ("namespaces", "nodes")]
