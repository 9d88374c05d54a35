#!/usr/bin/python
# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read and change the dynamic configuration."""

from __future__ import annotations

DOCUMENTATION = r"""
module: configuration
short_description: Read and change the dynamic configuration of a PostgreSQL cluster
version_added: 0.1.0
description:
  - Merges O(merge) into the configuration that the agents obey, by compare-and-swap. What no agent would obey is
    refused before anything is changed. Without O(merge) it only reads.
  - What is changed so is the cluster's, not the inventory's. The role keeps it, as long as the inventory does not
    change the same key as well; then C(postgres_configuration_conflict) decides.
  - Secrets in it (C(ldapbindpasswd), C(radiussecrets), passwords in connection strings) are masked in whatever it
    returns.
  - The agents put it in force within seconds. What only PostgreSQL itself refuses, they refuse; C(pgherd list) says so.
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
  cluster:
    description: Name of the PostgreSQL cluster.
    type: str
    required: true
  lock_kind:
    description: Kind of the lock. Without it both are looked for.
    type: str
    choices: [Endpoints, EndpointSlice]
  merge:
    description: Settings in Patroni's shape. Dictionaries are merged, a null removes a key, everything else replaces.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: More memory for sorts, and the default for the lock's timeout again
  pgherd.postgres.configuration:
    namespace: databases
    cluster: demo
    merge:
      postgresql:
        parameters:
          work_mem: 8MB
          deadlock_timeout: null

- name: Maintenance begins
  pgherd.postgres.configuration:
    namespace: databases
    cluster: demo
    merge: { pause: true }

- name: What is in force
  pgherd.postgres.configuration:
    namespace: databases
    cluster: demo
  register: current
"""

RETURN = r"""
configuration:
  description: The dynamic configuration as it is now; in check mode as it would be. Secrets in it are masked.
  type: dict
  returned: success
  sample: {ttl: 10, loop_wait: 3, postgresql: {parameters: {work_mem: 8MB}}}
changes:
  description: Dotted names of the settings that changed.
  type: list
  elements: str
  returned: success
  sample: [postgresql.parameters.work_mem]
"""

from typing import Any

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.pgherd.postgres.plugins.module_utils.apply import Refused
from ansible_collections.pgherd.postgres.plugins.module_utils.client import ApiError, Unreachable, connect
from ansible_collections.pgherd.postgres.plugins.module_utils.dynamic import change, changed_keys
from ansible_collections.pgherd.postgres.plugins.module_utils.masking import hidden, hidden_since
from ansible_collections.pgherd.postgres.plugins.module_utils.quiet import QuietModule
from ansible_collections.pgherd.postgres.plugins.module_utils.reporting import text

OPTIONS = {
    "namespace": {"type": "str", "required": True},
    "cluster": {"type": "str", "required": True},
    "lock_kind": {"type": "str", "choices": ["Endpoints", "EndpointSlice"]},
    "merge": {"type": "dict", "default": {}},
}


def run(module: QuietModule) -> dict[str, Any]:
    params = module.params
    where = (params["namespace"], params["cluster"], params["lock_kind"])
    outcome, before, after = change(connect(module), *where, params["merge"], module.check_mode)
    result = {"changed": outcome.moved, "configuration": hidden(after), "changes": changed_keys(before, after)}
    if module._diff and outcome.moved:
        header = f"{outcome.kind} {params['namespace']}/{outcome.name}"
        result["diff"] = {
            "before_header": f"{header} (before)",
            "after_header": f"{header} (changed)",
            "before": text(hidden(before)),
            "after": text(hidden_since(before, after)),
        }
    return result


def main() -> None:
    module = QuietModule(argument_spec={**AUTH_ARG_SPEC, **OPTIONS}, supports_check_mode=True)
    try:
        module.exit_json(**run(module))
    except (ApiError, Unreachable, Refused) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
