# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Validation on the controller, where all of a host's variables can be seen, the misspelt ones too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ..module_utils.declaration import Invalid, declare
from ..module_utils.masking import hidden

MANIFEST = "postgres_cluster_manifest"


class ActionModule(ActionBase):
    """Turns `postgres_*` variables into one cluster; asks no API and starts no process."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        host = str(variables["inventory_hostname"])
        _validated, options = self.validate_argument_spec({"image_needed": {"type": "bool", "default": True}})
        try:
            values = evaluated(variables, self._templar.template)
            self._read_manifest(values, variables.get("inventory_dir"))
            cluster = declare(values, host, options["image_needed"])
        except Invalid as error:
            listed = "\n  ".join(error.problems)
            result.update(
                failed=True,
                problems=list(error.problems),
                msg=f"{host}: nothing was changed, because:\n  {listed}",
            )
            return result
        result.update(changed=False, cluster=cluster)
        shown = [cluster["configuration"], cluster["bootstrap"]]
        if hidden(shown) != shown:
            result["_ansible_no_log"] = True  # what follows needs the secrets, nobody else does
        return result

    def _read_manifest(self, values: dict[str, Any], inventory: Any) -> None:
        """The file that postgres_cluster_manifest names, in its place. Raises Invalid."""
        named = values.get(MANIFEST)
        if not named or not isinstance(named, str):
            return
        # AWX keeps the inventory apart from the project, and starts in the project; a playbook that is imported from
        # the collection is beside nothing of the project.
        folders = [str(inventory)] if inventory else []
        path = manifest_file(named, [*folders, str(self._loader.get_basedir()), ""])
        try:
            text = Path(self._loader.get_real_file(str(path))).read_text()
            values[MANIFEST] = the_cluster(list(yaml.safe_load_all(text)))
        except (AnsibleError, OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise Invalid([f"{MANIFEST}={named}: {path} cannot be read: {' '.join(str(error).split())}"]) from None
        except ValueError as error:
            raise Invalid([f"{MANIFEST}={named}: {path} {error}"]) from None


def manifest_file(named: str, folders: Sequence[str]) -> Path:
    """The first of these that is there, relative to where Ansible was started. Raises Invalid, naming each."""
    paths = list(dict.fromkeys(Path.cwd() / folder / named for folder in folders))
    found = next((path for path in paths if _is_there(path)), None)
    if found is None:
        allowed = (
            "a relative path must be one from the folder of the inventory or of the playbook, or from where Ansible "
            "was started (in AWX the project)"
        )
        raise Invalid([f"{MANIFEST}={named}: there is no {' or '.join(map(str, paths))}; {allowed}"])
    return found


def _is_there(path: Path) -> bool:
    """In a folder that may not be looked into nothing is."""
    try:
        return path.exists()
    except OSError:
        return False


def the_cluster(documents: list[Any]) -> dict[str, Any]:
    """The one PostgresCluster of a file that may hold other objects, too. Raises ValueError."""
    found = [each for each in documents if isinstance(each, dict) and each.get("kind") == "PostgresCluster"]
    if len(found) != 1:
        raise ValueError(f"must hold one PostgresCluster; it holds {len(found)}")
    (manifest,) = found
    return _plain(manifest)  # type: ignore[no-any-return]


def evaluated(variables: Mapping[str, Any], template: Callable[[Any], Any]) -> dict[str, Any]:
    """The values of our variables. Raises Invalid with the name of each that has none, which Ansible does not say."""
    values, problems = dict[str, Any](), list[str]()
    for name in sorted(each for each in variables if each.startswith("postgres_")):
        try:
            values[name] = _plain(template(variables[name]))
        except AnsibleError as error:
            problems.append(f"{name}: its template has no value: {' '.join(str(error).split())}")
    if problems:
        raise Invalid(problems)
    return values


def _plain(value: Any) -> Any:
    """Without Ansible's own kinds of text, which would follow the values into every object."""
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, str) else value
