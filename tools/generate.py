"""Write what follows from the collection's own declarations: python tools/generate.py

- docs/role.yaml: the rights that the play needs in a namespace, from what it checks before it begins;
- awx/surveys/: a survey for each playbook that takes inputs, from its role's argument_specs.

A unit test says when one of them is out of date.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
ROLES = ("configuration", "reinitialize", "restart", "switchover")
"""Roles whose inputs are extra variables of one run."""
OF_A_RUN = ("postgres_configuration_conflict", "postgres_wait", "postgres_wait_timeout")
"""What a run of site.yml is asked for; everything else is declared in the inventory."""
RENEWED = "postgres_renew_certificates"
"""What a run of renew_certificates.yml is asked for, also in the inventory's own form."""
OF_THE_INVENTORY = ("postgres_namespace", "postgres_cluster_name", "postgres_kubeconfig", "postgres_context")
FORMS = {"int": "integer", "float": "float", "str": "text", "list": "textarea", "dict": "textarea", "raw": "textarea"}
LONGEST = 65536
HEAD = """\
# The rights of an account that runs the plays for the clusters of one namespace: nothing outside it.
# Some are needed only because the play hands them on to the pods, and nobody may grant what he does not have.
# Another namespace than databases: sed 's/namespace: databases/namespace: mine/' docs/role.yaml | kubectl apply -f -
"""
NAMESPACE = "databases"


def files() -> dict[Path, str]:
    """Path and text of everything that is generated."""
    found = {ROOT / "docs" / "role.yaml": HEAD + _yaml(account())}
    for name, survey in surveys().items():
        text = json.dumps(survey, indent=2, ensure_ascii=False) + "\n"
        found[ROOT / "awx" / "surveys" / f"{name}.json"] = text
    return found


def account() -> list[dict[str, Any]]:
    """ServiceAccount, Role and RoleBinding of one namespace."""
    group, name = "rbac.authorization.k8s.io", "pgherd-play"
    metadata = {"name": name, "namespace": NAMESPACE}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": dict(metadata)},
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": dict(metadata), "rules": list(_rules())},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": dict(metadata),
            "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", **metadata}],
        },
    ]


def _yaml(documents: list[dict[str, Any]]) -> str:
    """As a person writes it: one line for each list and small mapping, sequences indented."""

    class Indented(yaml.SafeDumper):
        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            super().increase_indent(flow, False)

    texts = [
        yaml.dump(each, Dumper=Indented, sort_keys=False, default_flow_style=None, width=120) for each in documents
    ]
    return "".join(f"---\n{text}" for text in texts)


def _rules() -> Iterator[dict[str, Any]]:
    """One for each set of verbs in an API group, for either kind of lock."""
    from ansible_collections.pgherd.postgres.plugins.module_utils.names import KINDS, LOCK_KINDS
    from ansible_collections.pgherd.postgres.plugins.module_utils.preflight import rights

    needed = {kind: verbs for lock in LOCK_KINDS.values() for kind, verbs in rights(lock).items()}
    grouped = dict[tuple[str, tuple[str, ...]], list[str]]()
    for kind, verbs in sorted(needed.items()):
        prefix, plural = KINDS[kind]
        group = prefix.split("/")[2] if prefix.startswith("/apis/") else ""
        grouped.setdefault((group, verbs), []).append(plural)
    for (group, verbs), resources in sorted(grouped.items()):
        yield {"apiGroups": [group], "resources": sorted(resources), "verbs": list(verbs)}


def surveys() -> dict[str, dict[str, Any]]:
    """By the name of the playbook."""
    found = {role: _survey(_spec(role), lambda name: name not in OF_THE_INVENTORY) for role in ROLES}
    found["site"] = _survey(_spec("cluster"), lambda name: name in OF_A_RUN)
    found["renew_certificates"] = _survey(_spec("pki"), lambda name: name == RENEWED)
    return found


def _spec(role: str) -> Mapping[str, Any]:
    text = (ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text()
    found: Mapping[str, Any] = yaml.safe_load(text)["argument_specs"]["main"]
    return found


def _survey(spec: Mapping[str, Any], asked: Any) -> dict[str, Any]:
    questions = [_question(name, option) for name, option in spec["options"].items() if asked(name)]
    return {"name": "", "description": spec["short_description"], "spec": questions}


def _question(variable: str, option: Mapping[str, Any]) -> dict[str, Any]:
    """A boolean is a choice of two words.

    No question has a default of its own: AWX would send it for one that nobody answered, as an extra variable, which
    wins over what the inventory says. It checks an empty default against the choices or the kind of number, and then
    sends nothing; but of text the empty one would be sent, so there is none at all.
    """
    choices = ["true", "false"] if option["type"] == "bool" else option.get("choices", [])
    kind = "multiplechoice" if choices else FORMS[option["type"]]
    return {
        "question_name": variable.removeprefix("postgres_").replace("_", " ").capitalize(),
        "question_description": f"{_text(option['description'])}{_unanswered(option)}",
        "required": option.get("required", False),
        "type": kind,
        "variable": variable,
        "min": 0,
        "max": 2**31 - 1 if kind in ("integer", "float") else LONGEST,
        **({} if kind in ("text", "textarea") else {"default": ""}),
        "choices": choices,
        "new_question": True,
    }


def _text(description: str | list[str]) -> str:
    """One paragraph, without Ansible's marks."""
    text = description if isinstance(description, str) else " ".join(description)
    return re.sub(r"\b[A-Z]\(([^)]*)\)", r"\1", text)


def _unanswered(option: Mapping[str, Any]) -> str:
    default = option.get("default")
    if default in (None, "", [], {}):
        return ""
    said = default if isinstance(default, str) else json.dumps(default)
    return f" Without an answer as the inventory says, or else {said}."


def main() -> None:
    sys.path.insert(0, str(ROOT / ".build" / "collections"))
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
