#!/usr/bin/python
# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the API before a play changes anything."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Find out whether a play can work before it changes anything
version_added: 0.1.0
description:
  - Asks the Kubernetes API whether it can be reached, whether the namespace exists, whether this account has every
    right that the play needs, and whether the node ports that are asked for are free.
  - Fails with one sentence for each problem. Changes nothing.
extends_documentation_fragment:
  - pgherd.postgres.cluster
  - pgherd.postgres.cluster.attributes
  - kubernetes.core.k8s_auth_options
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
options:
  cluster:
    description: Name of the PostgreSQL cluster, for messages.
    type: str
    required: true
  node_ports:
    description: Node ports that are asked for, each with the Service of this cluster that asks.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Can this play work
  pgherd.postgres.preflight:
    namespace: databases
    cluster: demo
    node_ports: { "30432": demo-ha }
"""

RETURN = r"""
problems:
  description: What stands in the way, when the module fails.
  type: list
  elements: str
  returned: failure
  sample: ["namespace databases does not exist. The play never makes namespaces: ask for it, or name another."]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.pgherd.postgres.plugins.module_utils import preflight
from ansible_collections.pgherd.postgres.plugins.module_utils.client import ApiError, Unreachable, connect


def main() -> None:
    options = {
        **AUTH_ARG_SPEC,
        "namespace": {"type": "str", "required": True},
        "cluster": {"type": "str", "required": True},
        "node_ports": {"type": "dict", "default": {}},
    }
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    namespace, cluster = module.params["namespace"], module.params["cluster"]
    ports = {int(port): service for port, service in module.params["node_ports"].items()}
    try:
        problems = preflight.problems(connect(module), namespace, ports, cluster)
    except (ApiError, Unreachable) as error:
        module.fail_json(msg=f"{cluster}: {error}. Nothing was changed.", problems=[str(error)])
    if problems:
        module.fail_json(msg=f"{cluster}: {' '.join(problems)} Nothing was changed.", problems=problems)
    module.exit_json(changed=False)


if __name__ == "__main__":
    main()
