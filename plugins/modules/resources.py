#!/usr/bin/python
# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All objects of a cluster, in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: resources
short_description: Apply all objects of a PostgreSQL cluster in one call
version_added: 0.1.0
description:
  - Lists a cluster's objects by label, applies the declared ones by server-side apply in waves over parallel
    connections, makes what is only made once, merges the dynamic configuration, and deletes objects of ours that are
    no longer declared.
  - C(changed) exactly when an object moved. A second identical run moves nothing.
  - Never touched are objects that a controller made, the lock, the history, and volumes unless O(purge) is set.
  - In check mode the API's dry run says what would change; nothing is generated.
extends_documentation_fragment:
  - pgherd.postgres.cluster
  - pgherd.postgres.cluster.attributes
  - kubernetes.core.k8s_auth_options
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  state:
    description: V(absent) deletes everything that bears the labels of O(selector), volumes only with O(purge).
    type: str
    choices: [present, absent]
    default: present
  selector:
    description: Labels by which the cluster's objects are found.
    type: dict
    required: true
  owned:
    description: Labels of what the play owns. Only objects that bear them can be pruned; without any, none is.
    type: dict
    default: {}
  objects:
    description: Definitions to apply. A text like C($(Service/demo-ha:spec.clusterIP\)) stands for a value that another
      object of the list has got.
    type: list
    elements: dict
    default: []
  create_once:
    description: Definitions of objects that are made when they are missing and never touched again.
    type: list
    elements: dict
    default: []
  patches:
    description: Overlays on O(objects), merged strategically.
    type: list
    elements: dict
    default: []
    suboptions:
      kind:
        description: Kind of the objects to change.
        type: str
        required: true
      name:
        description: Name of the object; all of the kind without it.
        type: str
      merge:
        description: What to merge. A null removes a key.
        type: dict
        required: true
  users:
    description: Database users, each with a Secret whose password is generated once and kept.
    type: list
    elements: dict
    default: []
  configuration:
    description: Name of the object of O(create_once) whose annotation C(config) is merged with what operators set.
    type: str
  conflict:
    description: What to do with a key of the configuration that inventory and operators both changed.
    type: str
    choices: [fail, inventory, cluster]
    default: fail
  keep:
    description: Names of Secrets that others declare; they are not pruned.
    type: list
    elements: str
    default: []
  lock:
    description: Name of the lock, whose annotation C(leader) names a member that must not be pruned.
    type: str
  lock_kind:
    description:
      - Kind of the lock. With V(EndpointSlice) the object of O(configuration) is a ConfigMap, else an Endpoints.
      - The kind of a cluster that is there cannot be changed, which is refused before anything is.
    type: str
    choices: [Endpoints, EndpointSlice]
    default: Endpoints
  members:
    description: Pod names of the declared members; with them the result says what the cluster lacks to be ready.
    type: list
    elements: str
    default: []
  poolers:
    description: Names of the declared poolers, which O(members) are of no use without.
    type: list
    elements: str
    default: []
  label_prefix:
    description: Prefix of the cluster's labels.
    type: str
    default: pgherd.dev/
  keep_members:
    description:
      - Label that members' StatefulSets bear. Members that are there and no longer declared are left, with what they
        need, for M(pgherd.postgres.rollout) to remove.
      - Without it they are pruned like everything else, except the leader, whose removal is refused.
    type: str
    default: ""
  verify:
    description:
      - Only look whether this could be done, and fail with what stands in the way, before something else of the cluster
        is written. Objects that O(patches) change are tried by the API's dry run. Nothing is changed.
    type: bool
    default: false
  purge:
    description: Whether volumes that are no longer declared are deleted, with their data.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: One Service of a cluster
  pgherd.postgres.resources:
    namespace: databases
    selector: { pgherd.dev/cluster: demo }
    owned: { pgherd.dev/applied-by: play }
    objects:
      - apiVersion: v1
        kind: Service
        metadata:
          name: demo-pods
          namespace: databases
          labels: { pgherd.dev/cluster: demo, pgherd.dev/applied-by: play }
        spec:
          clusterIP: None
          publishNotReadyAddresses: true
          selector: { pgherd.dev/cluster: demo }

- name: Delete a cluster and keep its volumes
  pgherd.postgres.resources:
    namespace: databases
    selector: { pgherd.dev/cluster: demo }
    state: absent
"""

RETURN = r"""
objects:
  description: Every object with what happened to it and the paths of the fields that changed.
  type: list
  elements: dict
  returned: success
  sample: [{"kind": "Service", "name": "demo-ha", "action": "changed", "fields": ["spec.ports[0].targetPort"]}]
changes:
  description: One line for each object that moved.
  type: list
  elements: str
  returned: success
  sample: ["changed Service demo-ha: spec.ports[0].targetPort"]
configuration:
  description:
    - Keys of the dynamic configuration that changed, with both values (null where there was or is none).
    - Secrets in them are masked.
  type: list
  elements: dict
  returned: when O(configuration) is set
  sample: [{"key": "postgresql.parameters.max_connections", "before": 100, "after": 200}]
missing:
  description: What is not as declared yet, one sentence each. Empty when every member of O(members) is ready.
  type: list
  elements: str
  returned: when O(members) is set
  sample: ["no leader in Endpoints demo-ha"]
"""

from typing import Any

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.pgherd.postgres.plugins.module_utils.apply import Refused
from ansible_collections.pgherd.postgres.plugins.module_utils.client import ApiError, Unreachable, connect
from ansible_collections.pgherd.postgres.plugins.module_utils.configuration import configuration_changes
from ansible_collections.pgherd.postgres.plugins.module_utils.converge import Wanted, converge, remove, verify
from ansible_collections.pgherd.postgres.plugins.module_utils.quiet import QuietModule
from ansible_collections.pgherd.postgres.plugins.module_utils.readiness import situation
from ansible_collections.pgherd.postgres.plugins.module_utils.reporting import report

PATCH = {
    "kind": {"type": "str", "required": True},
    "name": {"type": "str"},
    "merge": {"type": "dict", "required": True},
}
WANTED = {
    "namespace": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "selector": {"type": "dict", "required": True},
    "owned": {"type": "dict", "default": {}},
    "objects": {"type": "list", "elements": "dict", "default": []},
    "create_once": {"type": "list", "elements": "dict", "default": []},
    "patches": {"type": "list", "elements": "dict", "default": [], "options": PATCH},
    "users": {"type": "list", "elements": "dict", "default": []},
    "configuration": {"type": "str"},
    "conflict": {"type": "str", "choices": ["fail", "inventory", "cluster"], "default": "fail"},
    "keep": {"type": "list", "elements": "str", "default": [], "no_log": False},
    "lock": {"type": "str"},
    "lock_kind": {"type": "str", "choices": ["Endpoints", "EndpointSlice"], "default": "Endpoints"},
    "keep_members": {"type": "str", "default": ""},
    "purge": {"type": "bool", "default": False},
}
READINESS = {
    "members": {"type": "list", "elements": "str", "default": []},
    "poolers": {"type": "list", "elements": "str", "default": []},
    "label_prefix": {"type": "str", "default": "pgherd.dev/"},
}
OPTIONS = {**AUTH_ARG_SPEC, **WANTED, **READINESS, "verify": {"type": "bool", "default": False}}


def run(module: Any) -> dict[str, Any]:
    params = module.params
    wanted = Wanted(**{name: params[name] for name in WANTED if name != "state"})
    api = connect(module)
    if params["verify"]:
        verify(api, wanted)
        return report([], wanted.namespace, module._diff)
    bring = remove if params["state"] == "absent" else converge
    outcomes = bring(api, wanted, module.check_mode)
    result = report(outcomes, wanted.namespace, module._diff)
    if wanted.configuration:
        result["configuration"] = configuration_changes(outcomes, wanted.configuration)
    if params["members"] and wanted.lock:
        lock = (wanted.lock_kind, wanted.lock)
        look = (api, wanted.namespace, lock, params["members"], wanted.selector, params["label_prefix"])
        result["missing"] = list(situation(*look, params["poolers"]).missing)
    return result


def perform(module: Any) -> None:
    try:
        module.exit_json(**run(module))
    except (ApiError, Unreachable, Refused, ValueError) as error:
        text = str(error)
        if module.params["verify"] and not text.endswith("Nothing was changed."):
            text = f"{text.rstrip('.')}. Nothing was changed."
        module.fail_json(msg=text)


def main() -> None:
    perform(QuietModule(argument_spec=OPTIONS, supports_check_mode=True))


if __name__ == "__main__":
    main()
