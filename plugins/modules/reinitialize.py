#!/usr/bin/python
# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give a replica a new copy of the leader's data."""

from __future__ import annotations

DOCUMENTATION = r"""
module: reinitialize
short_description: Replace the data of a replica by a copy of the leader's
version_added: 0.1.0
description:
  - Asks the member's agent to replace its data by a copy of the leader's, and waits until that is done. WAL of it that
    the leader lacks is kept aside in its volume. The leader itself is refused.
  - It is done each time, unless O(request_id) names a request that is done already.
  - In check mode the module says what it would do, and writes nothing.
extends_documentation_fragment:
  - pgherd.postgres.cluster
  - pgherd.postgres.cluster.attributes
  - pgherd.postgres.request
  - kubernetes.core.k8s_auth_options
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
options:
  member:
    description: Pod name of the replica.
    type: str
    required: true
  wait_timeout:
    description: Seconds to wait at most; how long it takes depends on the size of the data. It goes on when they have
      passed.
    type: int
    default: 3600
"""

EXAMPLES = r"""
- name: A replica whose data nobody trusts any more
  pgherd.postgres.reinitialize:
    namespace: databases
    cluster: demo
    member: demo-instance1-23r5-0

- name: The same, which can be run again when the play was cut off
  pgherd.postgres.reinitialize:
    namespace: databases
    cluster: demo
    member: demo-instance1-23r5-0
    request_id: ticket-4711
"""

RETURN = r"""
requests:
  description: The request as the agent answered it.
  type: list
  elements: dict
  returned: always
  sample:
    - {id: ticket-4711, verb: reinitialize, member: demo-instance1-23r5-0, state: done, reason: ""}
msg:
  description: What happened, or why not.
  type: str
  returned: always
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.pgherd.postgres.plugins.module_utils.asking import Invalid, make
from ansible_collections.pgherd.postgres.plugins.module_utils.client import connect
from ansible_collections.pgherd.postgres.plugins.module_utils.requesting import OPTIONS, Asker, end, result_of

COPYING = {
    "member": {"type": "str", "required": True},
    "wait_timeout": {"type": "int", "default": 3600},
}


def run(asker: Asker) -> dict[str, Any]:
    member, sight = asker.params["member"], asker.look()
    request = make("reinitialize", member, asker.params["request_id"])
    before = asker.book.read()[1].get(request.id)
    if before is None:
        sight.known(member, "member")
        if sight.leader == member:
            raise Invalid(f"member={member!r}: it is the leader; switch over first")
        if not sight.leader:
            raise Invalid("nobody leads, so that there is nothing to copy")
    if asker.check:
        moves = before is None or not before.finished
        return result_of([], moves, f"would replace all data of {member} by a copy of {sight.leader}'s")
    done, moved = asker.ask(request)
    if done.state == "done" and moved:
        asker.works_again(done, sight, was_candidate=False)
    return result_of([done], moved, str(done))


def main() -> None:
    module = AnsibleModule(argument_spec={**AUTH_ARG_SPEC, **OPTIONS, **COPYING}, supports_check_mode=True)
    asker = Asker(connect(module), module.params, module.check_mode)
    end(module, lambda: run(asker))


if __name__ == "__main__":
    main()
