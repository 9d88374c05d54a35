#!/usr/bin/python
# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of a cluster in Secrets."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pki
short_description: Keep an authority and certificates in Secrets
version_added: 0.1.0
description:
  - Makes one authority for a PostgreSQL cluster and the certificates that it signs, each in a Secret with C(tls.crt),
    C(tls.key) and C(ca.crt), and renews them long before they end.
  - A certificate is kept as long as more than a third of its life is left and its names, issuer and key fit. An
    authority that is there already is taken as it is.
  - When the authority has to be replaced, C(ca.crt) holds the old one too until it has expired.
  - Before it makes anything it finds out whether the play can work at all, because it is the first to write. It fails
    with one sentence for each problem when the API cannot be reached, the namespace does not exist, this account lacks
    a right that applying a cluster needs, or a node port of O(node_ports) is in use.
  - Keys never leave the Secrets, neither in results nor in diffs. In check mode no key is made.
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
  authority:
    description: Name of the Secret of the authority. It is never mounted into a pod.
    type: str
    required: true
  common_name:
    description: Common name of the authority's certificate.
    type: str
    required: true
  certificates:
    description: Certificates to keep.
    type: list
    elements: dict
    required: true
    suboptions:
      secret:
        description: Name of the Secret.
        type: str
        required: true
      labels:
        description: Labels of this Secret, beside O(labels).
        type: dict
        default: {}
      common_name:
        description: Common name of the subject.
        type: str
        required: true
      dns:
        description: Names in the subject alternative name.
        type: list
        elements: str
        default: []
      addresses:
        description: IP addresses in the subject alternative name.
        type: list
        elements: str
        default: []
      server:
        description: Whether a server may use it.
        type: bool
        default: true
      client:
        description: Whether a client may use it.
        type: bool
        default: false
  node_ports:
    description: Node ports that the cluster asks for, each with the Service that asks.
    type: dict
    default: {}
  lock_kind:
    description: Kind of the cluster's lock; the right to manage such objects is asked for.
    type: str
    choices: [Endpoints, EndpointSlice]
    default: Endpoints
  selector:
    description: Labels by which the cluster's objects are found.
    type: dict
    required: true
  labels:
    description: Labels of the Secrets; they include those of O(selector).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: An authority and a server certificate
  pgherd.postgres.pki:
    namespace: databases
    authority: demo-ca
    common_name: demo authority
    selector: { pgherd.dev/cluster: demo }
    labels: { pgherd.dev/cluster: demo, pgherd.dev/applied-by: play }
    certificates:
      - secret: demo-cluster-cert
        common_name: demo-primary
        dns: [demo-primary.databases.svc, demo-primary]
"""

RETURN = r"""
objects:
  description: Every Secret with what happened to it and the paths of the fields that changed.
  type: list
  elements: dict
  returned: success
  sample: [{"kind": "Secret", "name": "demo-ca", "action": "created", "fields": []}]
changes:
  description: One line for each Secret that moved.
  type: list
  elements: str
  returned: success
  sample: ["created Secret demo-ca"]
problems:
  description: What stands in the way of the play.
  type: list
  elements: str
  returned: when the play cannot work
  sample:
    - >-
      namespace databases does not exist. The play never makes namespaces: ask for it, or name another in
      postgres_namespace.
certificates:
  description: Every certificate with its Secret, when it expires, and why it was made anew (empty when it was kept).
  type: list
  elements: dict
  returned: success
  sample: [{"secret": "demo-ca", "expires": "2036-01-01T00:00:00+00:00", "reason": "it is missing"}]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.pgherd.postgres.plugins.module_utils import preflight
from ansible_collections.pgherd.postgres.plugins.module_utils.apply import Refused, Scope, apply_all, observe
from ansible_collections.pgherd.postgres.plugins.module_utils.certificates import issue
from ansible_collections.pgherd.postgres.plugins.module_utils.client import ApiError, Unreachable, connect
from ansible_collections.pgherd.postgres.plugins.module_utils.reporting import by_name, report
from ansible_collections.pgherd.postgres.plugins.module_utils.x509 import PROBLEM, utcnow

CERTIFICATE = {
    # Only the name of one.
    "secret": {"type": "str", "required": True, "no_log": False},
    "labels": {"type": "dict", "default": {}},
    "common_name": {"type": "str", "required": True},
    "dns": {"type": "list", "elements": "str", "default": []},
    "addresses": {"type": "list", "elements": "str", "default": []},
    "server": {"type": "bool", "default": True},
    "client": {"type": "bool", "default": False},
}


def run(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    namespace, api = params["namespace"], connect(module)
    ports = {int(port): service for port, service in params["node_ports"].items()}
    try:
        found = preflight.problems(api, namespace, ports, params["lock_kind"])
    except (ApiError, Unreachable) as error:
        module.fail_json(msg=f"{error}. Nothing was changed.")
    if found:
        module.fail_json(msg=f"{' '.join(found)} Nothing was changed.", problems=found)
    names = [params["authority"], *(each["secret"] for each in params["certificates"])]
    declared = [{"kind": "Secret", "metadata": {"name": name, "namespace": namespace}} for name in names]
    live = observe(api, Scope(namespace, params["selector"]), ["Secret"], declared)
    metadata = {"namespace": namespace, "labels": params["labels"]}
    issued = issue(
        params["authority"],
        params["common_name"],
        params["certificates"],
        by_name(live.values()),
        metadata,
        utcnow(),
        generate=not module.check_mode,
    )
    outcomes = apply_all(api, [each.definition for each in issued], live, module.check_mode)
    certificates = [
        {"secret": each.definition["metadata"]["name"], "expires": each.expires, "reason": each.reason}
        for each in issued
    ]
    return {**report(outcomes, namespace, module._diff), "certificates": certificates}


def main() -> None:
    options = {
        **AUTH_ARG_SPEC,
        "namespace": {"type": "str", "required": True},
        "authority": {"type": "str", "required": True},
        "common_name": {"type": "str", "required": True},
        "certificates": {"type": "list", "elements": "dict", "required": True, "options": CERTIFICATE},
        "node_ports": {"type": "dict", "default": {}},
        "lock_kind": {"type": "str", "choices": ["Endpoints", "EndpointSlice"], "default": "Endpoints"},
        "selector": {"type": "dict", "required": True},
        "labels": {"type": "dict", "required": True},
    }
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    if PROBLEM:
        module.fail_json(msg=missing_required_lib("cryptography"), exception=PROBLEM)
    try:
        module.exit_json(**run(module))
    except (ApiError, Unreachable, Refused) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
