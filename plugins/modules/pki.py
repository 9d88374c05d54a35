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
  - A certificate is kept as long as more than a third of its life is left and its names, issuer and key fit.
  - An authority is replaced when less than a third of its life is left, when its key is lost, or on request, in three
    steps. First every C(ca.crt) has both. When every member says that it trusts the new one, it signs all certificates.
    When every member says that it uses them, the old one goes. A run that is interrupted anywhere is finished by the
    next.
  - After a change it touches the pods, so that their kubelets read the Secrets at once, and waits until the members
    say that new connections use what is in the Secrets.
  - Certificates that somebody brought along (O(custom), O(authority_secret)) are checked before anything is changed,
    and never written.
  - Before it makes anything it finds out whether the play can work at all, because it is the first to write. It fails
    with one sentence for each problem when the API cannot be reached, the namespace does not exist, this account lacks
    a right that applying a cluster needs, a kind of O(custom_kinds) is not installed, or a node port of O(node_ports)
    is in use.
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
      kind:
        description: Under which name members publish that they use it.
        type: str
        required: true
      member:
        description: The only pod that uses it; empty when all do.
        type: str
        default: ""
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
  custom:
    description: Certificates that somebody else makes and renews.
    type: list
    elements: dict
    default: []
    suboptions:
      kind:
        description: Under which name members publish that they use it.
        type: str
        required: true
      variable:
        description: What messages call it.
        type: str
        required: true
      secret:
        description: Name of the Secret.
        type: str
        required: true
      items:
        description: Key of the Secret for each of C(tls.crt), C(tls.key) and C(ca.crt).
        type: dict
        required: true
      hosts:
        description: Names that it must be valid for.
        type: list
        elements: str
        default: []
      common_name:
        description: Common name that it must have; empty for any.
        type: str
        default: ""
  authority_secret:
    description:
      - Name of a Secret with an authority that belongs to somebody else, such as PGO's C(pgo-root-cacert). It signs in
        place of O(authority), which is not made then.
      - Its keys are C(root.crt) and C(root.key), or C(tls.crt) and C(tls.key).
    type: str
    default: ""
  renew:
    description: Kinds of certificates to make anew although they are good; V(authority) replaces the authority.
    type: list
    elements: str
    default: []
  certificate_days:
    description: Life of a certificate.
    type: int
    default: 365
  authority_days:
    description: Life of an authority.
    type: int
    default: 3650
  authority_overlap_days:
    description: Days for which clients find both authorities in C(ca.crt) before the new one signs.
    type: int
    default: 0
  label_prefix:
    description: Prefix of the cluster's labels and annotations.
    type: str
    default: pgherd.dev/
  wait:
    description: Whether to wait until the members use what is in the Secrets.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait at most.
    type: int
    default: 180
  required:
    description: Whether it is a failure when members have not followed in time; else it is a warning.
    type: bool
    default: true
  node_ports:
    description: Node ports that the cluster asks for, each with the Service that asks.
    type: dict
    default: {}
  lock_kind:
    description: Kind of the cluster's lock; the right to manage such objects is asked for.
    type: str
    choices: [Endpoints, EndpointSlice]
    default: Endpoints
  custom_kinds:
    description: Kinds that the play applies and that need a CustomResourceDefinition; whether they are there is asked.
    type: list
    elements: str
    choices: [PodMonitor, PrometheusRule]
    default: []
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
      - kind: server
        secret: demo-cluster-cert
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
  sample:
    - secret: demo-ca
      kind: authority
      expires: "2036-01-01T00:00:00+00:00"
      reason: it is missing
waiting:
  description: What members and poolers have not done yet, one sentence each.
  type: list
  elements: str
  returned: always
  sample: ["demo-instance1-chbj-0 does not use its new server certificate yet"]
replacing:
  description: Whether an authority is being replaced and the old one is trusted still.
  type: bool
  returned: success
later:
  description: Why the next step is not due yet, with its date; empty when it is, and when there is none.
  type: str
  returned: success
"""

from datetime import timedelta
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.pgherd.postgres.plugins.module_utils import preflight
from ansible_collections.pgherd.postgres.plugins.module_utils.apply import Refused, Scope
from ansible_collections.pgherd.postgres.plugins.module_utils.client import ApiError, Unreachable, connect
from ansible_collections.pgherd.postgres.plugins.module_utils.issuing import Authority, Policy
from ansible_collections.pgherd.postgres.plugins.module_utils.names import CUSTOM_KINDS
from ansible_collections.pgherd.postgres.plugins.module_utils.reporting import report
from ansible_collections.pgherd.postgres.plugins.module_utils.rotation import Wanted, rotate
from ansible_collections.pgherd.postgres.plugins.module_utils.x509 import PROBLEM, utcnow

CERTIFICATE = {
    "kind": {"type": "str", "required": True},
    "member": {"type": "str", "default": ""},
    # Only the name of one.
    "secret": {"type": "str", "required": True, "no_log": False},
    "labels": {"type": "dict", "default": {}},
    "common_name": {"type": "str", "required": True},
    "dns": {"type": "list", "elements": "str", "default": []},
    "addresses": {"type": "list", "elements": "str", "default": []},
    "server": {"type": "bool", "default": True},
    "client": {"type": "bool", "default": False},
}
CUSTOM = {
    "kind": {"type": "str", "required": True},
    "variable": {"type": "str", "required": True},
    "secret": {"type": "str", "required": True, "no_log": False},
    "items": {"type": "dict", "required": True},
    "hosts": {"type": "list", "elements": "str", "default": []},
    "common_name": {"type": "str", "default": ""},
}
OPTIONS = {
    **AUTH_ARG_SPEC,
    "namespace": {"type": "str", "required": True},
    "authority": {"type": "str", "required": True},
    "common_name": {"type": "str", "required": True},
    "certificates": {"type": "list", "elements": "dict", "required": True, "options": CERTIFICATE},
    "custom": {"type": "list", "elements": "dict", "default": [], "options": CUSTOM},
    "authority_secret": {"type": "str", "default": "", "no_log": False},
    "renew": {"type": "list", "elements": "str", "default": []},
    "certificate_days": {"type": "int", "default": 365},
    "authority_days": {"type": "int", "default": 3650},
    "authority_overlap_days": {"type": "int", "default": 0},
    "label_prefix": {"type": "str", "default": "pgherd.dev/"},
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 180},
    "required": {"type": "bool", "default": True},
    "node_ports": {"type": "dict", "default": {}},
    "lock_kind": {"type": "str", "choices": ["Endpoints", "EndpointSlice"], "default": "Endpoints"},
    "custom_kinds": {"type": "list", "elements": "str", "choices": list(CUSTOM_KINDS), "default": []},
    "selector": {"type": "dict", "required": True},
    "labels": {"type": "dict", "required": True},
}


def wanted(params: dict[str, Any]) -> Wanted:
    return Wanted(
        scope=Scope(params["namespace"], params["selector"]),
        labels=params["labels"],
        prefix=params["label_prefix"],
        authority=Authority(params["authority"], params["common_name"]),
        authority_secret=params["authority_secret"],
        leaves=params["certificates"],
        custom=params["custom"],
        policy=Policy(
            timedelta(days=params["authority_days"]),
            timedelta(days=params["certificate_days"]),
            timedelta(days=params["authority_overlap_days"]),
            frozenset(params["renew"]),
            f"{params['label_prefix']}authority-since",
        ),
        lock_kind=params["lock_kind"],
    )


def run(module: Any) -> dict[str, Any]:
    params = module.params
    namespace, api = params["namespace"], connect(module)
    ports = {int(port): service for port, service in params["node_ports"].items()}
    try:
        found = preflight.problems(api, namespace, ports, params["lock_kind"], params["custom_kinds"])
    except (ApiError, Unreachable) as error:
        module.fail_json(msg=f"{error}. Nothing was changed.")
    if found:
        module.fail_json(msg=f"{' '.join(found)} Nothing was changed.", problems=found)
    seconds = params["wait_timeout"] if params["wait"] else 0
    done = rotate(api, wanted(params), utcnow, seconds, module.check_mode)
    certificates = [
        {"secret": each.secret, "kind": each.kind, "expires": each.expires, "reason": each.reason}
        for each in done.issued
    ]
    return {
        **report(done.outcomes, namespace, module._diff),
        "certificates": certificates,
        "waiting": list(done.waiting) if params["wait"] else [],
        "replacing": done.replacing,
        "later": done.later,
    }


def unfinished(waiting: list[str], replacing: bool) -> str:
    """For a person: what is not done, and that nothing is broken by it."""
    held = " The old authority stays trusted until then." if replacing else ""
    return f"{'; '.join(waiting)}. Who has not followed goes on with the one before.{held} Run again to go on."


def perform(module: Any) -> None:
    if PROBLEM:
        module.fail_json(msg=missing_required_lib("cryptography"), exception=PROBLEM)
    try:
        result = run(module)
    except (ApiError, Unreachable, Refused) as error:
        module.fail_json(msg=str(error))
    if result["waiting"]:
        text = unfinished(result["waiting"], result["replacing"])
        if module.params["required"]:
            module.fail_json(msg=text, **result)
        module.warn(text)
    module.exit_json(**result)


def main() -> None:
    perform(AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True))


if __name__ == "__main__":
    main()
