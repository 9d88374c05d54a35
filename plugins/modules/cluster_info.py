#!/usr/bin/python
# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster is doing, read from the API."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_info
short_description: Show a cluster's members and leader, and wait until it is as declared
version_added: 0.1.0
description:
  - Reads pods and lock of a PostgreSQL cluster. Nothing is executed in pods.
  - With O(wait) it waits by watch until every declared member's pod is Ready, the lock has a leader and the role labels
    fit, and shows every few seconds what is still missing. When the time is up it fails and says what is missing.
    An API that cannot be reached meanwhile is asked again until then.
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
    description: Name of the PostgreSQL cluster.
    type: str
    required: true
  members:
    description: Pod names of the declared members. Without it those that are there are shown.
    type: list
    elements: str
    default: []
  poolers:
    description: Names of the declared poolers' Deployments, whose pods must be ready, too.
    type: list
    elements: str
    default: []
  selector:
    description: Labels by which the cluster's objects are found.
    type: dict
    required: true
  label_prefix:
    description: Prefix of the cluster's labels.
    type: str
    default: pgherd.dev/
  lock_kind:
    description: Kind of the lock.
    type: str
    choices: [Endpoints, EndpointSlice]
    default: Endpoints
  history:
    description: Whether to show the receipts of all changes of the leader as well.
    type: bool
    default: false
  wait:
    description: Whether to wait until the cluster is as declared.
    type: bool
    default: false
  wait_timeout:
    description: Seconds to wait at most.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Who leads
  pgherd.postgres.cluster_info:
    namespace: databases
    cluster: demo
    selector: { pgherd.dev/cluster: demo }
  register: demo
"""

RETURN = r"""
members:
  description:
    - Members with what Kubernetes knows of their pods, what the lock says of them, what their agents publish in
      annotation C(status) of their pods, and their declared tags.
    - C(lag) is in bytes, of what the leader had when it last wrote the lock; a candidate may take over when the leader
      is lost; C(pending_restart) names parameters. What nobody has said is null.
    - C(certificates) are those that each one uses, with C(kind), C(expires), C(days_left) and C(problem), which says
      why what is mounted is not in use.
  type: list
  elements: dict
  returned: always
  sample:
    - name: demo-instance1-23r5-0
      role: replica
      leader: false
      ready: true
      state: running
      node: node2
      address: 10.20.2.5
      candidate: true
      timeline: 2
      lag: 0
      streaming_from: demo-instance1-chbj-0
      pending_restart: []
      tags: {}
leader:
  description: Pod name of the leader, empty without one.
  type: str
  returned: always
  sample: demo-instance1-chbj-0
lock:
  description: Annotations of the lock.
  type: dict
  returned: always
timeline:
  description: Newest timeline that clients were sent to, null before the first leader.
  type: int
  returned: always
  sample: 2
epoch:
  description: Changes of the leader so far, null without a lock.
  type: int
  returned: always
  sample: 3
paused:
  description: Whether the cluster is in maintenance.
  type: bool
  returned: always
history:
  description: Receipts of the changes of the leader, oldest first.
  type: list
  elements: dict
  returned: when O(history) is true
missing:
  description: What is not as declared, one sentence each.
  type: list
  elements: str
  returned: always
refused:
  description: Those sentences of RV(missing) that no waiting changes, such as a user that PostgreSQL refuses.
  type: list
  elements: str
  returned: always
"""

import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.pgherd.postgres.plugins.module_utils.client import Api, ApiError, Unreachable, connect
from ansible_collections.pgherd.postgres.plugins.module_utils.lease import Lease, first_of
from ansible_collections.pgherd.postgres.plugins.module_utils.members import declared_tags, detailed
from ansible_collections.pgherd.postgres.plugins.module_utils.names import CONFIGURATION_KINDS, path
from ansible_collections.pgherd.postgres.plugins.module_utils.readiness import Situation, situation
from ansible_collections.pgherd.postgres.plugins.module_utils.waiting import wait

OPTIONS = {
    **AUTH_ARG_SPEC,
    "namespace": {"type": "str", "required": True},
    "cluster": {"type": "str", "required": True},
    "members": {"type": "list", "elements": "str", "default": []},
    "poolers": {"type": "list", "elements": "str", "default": []},
    "selector": {"type": "dict", "required": True},
    "label_prefix": {"type": "str", "default": "pgherd.dev/"},
    "lock_kind": {"type": "str", "choices": ["Endpoints", "EndpointSlice"], "default": "Endpoints"},
    "history": {"type": "bool", "default": False},
    "wait": {"type": "bool", "default": False},
    "wait_timeout": {"type": "int", "default": 300},
}


def _settled(seen: Situation) -> bool:
    """Nothing is missing, or nothing but what no waiting changes."""
    return set(seen.missing) == set(seen.refused)


def described(api: Api, params: dict[str, Any], seen: Situation, selector: str) -> dict[str, Any]:
    """Members and lock in detail."""
    namespace, lease = params["namespace"], Lease(params["lock_kind"], seen.lock)
    pods = api.request("GET", path("Pod", namespace), query={"labelSelector": selector})["items"]
    tags = declared_tags(api, namespace, params["cluster"])
    found = {
        "members": detailed(seen.members, pods, lease, tags, params["label_prefix"]),
        "timeline": lease.timeline,
        "epoch": lease.epoch,
        "paused": lease.paused,
    }
    return {**found, "history": receipts(api, params)} if params["history"] else found


def receipts(api: Api, params: dict[str, Any]) -> list[Any]:
    """None while nobody has led, and without a cluster."""
    name = f"{params['cluster']}-ha-config"
    found = first_of(api, params["namespace"], name, [CONFIGURATION_KINDS[params["lock_kind"]]])
    text = (found["metadata"].get("annotations") or {}).get("history") if found else None
    try:
        history = json.loads(text) if text else []
    except ValueError:
        return []
    return history if isinstance(history, list) else []


def perform(module: Any) -> None:
    params, api = module.params, connect(module)
    selector = ",".join(f"{name}={value}" for name, value in params["selector"].items())
    seconds, kind = params["wait_timeout"] if params["wait"] else 0, params["lock_kind"]

    def look() -> Situation:
        return situation(
            api,
            params["namespace"],
            (params["lock_kind"], f"{params['cluster']}-ha"),
            params["members"],
            params["selector"],
            params["label_prefix"],
            params["poolers"],
        )

    try:
        seen = wait(api, params["namespace"], selector, look, _settled, seconds, kind)
        known = described(api, params, seen, selector)
    except (ApiError, Unreachable) as error:
        # With wait the action plugin looks again while there is time: an API server may come back.
        passing = params["wait"] and (isinstance(error, Unreachable) or error.status >= 500)
        module.fail_json(msg=str(error), **({"missing": [str(error)]} if passing else {}))
    result = {
        "changed": False,
        **known,
        "leader": seen.leader,
        "lock": seen.lock,
        "missing": list(seen.missing),
        "refused": list(seen.refused),
    }
    if params["wait"] and seen.missing:
        module.fail_json(msg=f"{params['cluster']} is not ready: {'; '.join(seen.missing)}", **result)
    module.exit_json(**result)


def main() -> None:
    perform(AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True))


if __name__ == "__main__":
    main()
