#!/usr/bin/python
# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restart PostgreSQL of members, one after the other."""

from __future__ import annotations

DOCUMENTATION = r"""
module: restart
short_description: Restart PostgreSQL of members of a cluster, one after the other
version_added: 0.1.0
description:
  - Asks the agents to restart PostgreSQL, replicas first and the leader last. The next one is asked when the one before
    works again, a replica when it is a candidate again as it was before. If one fails, the others are untouched.
  - The leader stays the leader, and its clients are cut off for the time of a restart. To spare them, restart the
    replicas, switch over, and restart the old leader.
  - Pods and containers are not restarted.
  - In check mode the module says whom it would restart, and writes nothing. It cannot know then what O(only_pending)
    would spare.
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
  members:
    description: Pod names of the members. Without it all, as far as they have the O(role).
    type: list
    elements: str
    default: []
  role:
    description: Only members that have this role when the module begins.
    type: str
    choices: [any, leader, replica]
    default: any
  only_pending:
    description: Only where a parameter waits for a restart. The member's own agent knows, and says so.
    type: bool
    default: false
  scheduled:
    description:
      - Not before this time, ISO 8601 with its offset from UTC. It is not waited for.
      - One member at a time, because nobody would be there to restart several of them one after the other.
    type: str
  wait_timeout:
    description: Seconds to wait at most for each member.
    type: int
    default: 180
"""

EXAMPLES = r"""
- name: Parameters that need a restart take effect
  pgherd.postgres.restart:
    namespace: databases
    cluster: demo
    only_pending: true

- name: The replicas alone
  pgherd.postgres.restart:
    namespace: databases
    cluster: demo
    role: replica

- name: One member, on Sunday night
  pgherd.postgres.restart:
    namespace: databases
    cluster: demo
    members: [demo-instance1-23r5-0]
    scheduled: "2036-01-06T02:00:00+00:00"
"""

RETURN = r"""
members:
  description: Pod names of the members that were asked, in order.
  type: list
  elements: str
  returned: success
  sample: [demo-instance1-23r5-0, demo-instance1-chbj-0]
restarted:
  description: Those of them whose PostgreSQL was restarted.
  type: list
  elements: str
  returned: success
  sample: [demo-instance1-23r5-0]
requests:
  description: The requests as the agents answered them.
  type: list
  elements: dict
  returned: always
  sample:
    - {id: 4f1c0a2b9d3e-1f0a3c, verb: restart, member: demo-instance1-23r5-0, state: done, reason: ""}
msg:
  description: What happened, or why not.
  type: str
  returned: always
"""

import hashlib
import uuid
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.pgherd.postgres.plugins.module_utils.asking import Invalid, NotDone, Request, make
from ansible_collections.pgherd.postgres.plugins.module_utils.client import connect
from ansible_collections.pgherd.postgres.plugins.module_utils.requesting import OPTIONS, Asker, Sight, end, result_of

RESTARTING = {
    "members": {"type": "list", "elements": "str", "default": []},
    "role": {"type": "str", "choices": ["any", "leader", "replica"], "default": "any"},
    "only_pending": {"type": "bool", "default": False},
    "scheduled": {"type": "str"},
}


def chosen(sight: Sight, members: list[str], role: str) -> list[str]:
    """In the order of their restarts. Raises Invalid for an unknown name and for nobody."""
    for name in members:
        sight.known(name, "members")
    fits = {"any": (True, False), "leader": (True,), "replica": (False,)}[role]
    names = [name for name in sight.names if (not members or name in members) and (name == sight.leader) in fits]
    if not names:
        raise Invalid(f"role={role}: no member of {', '.join(members) or 'the cluster'} has it")
    return sorted(names, key=lambda name: (name == sight.leader, name))


def request_for(member: str, params: dict[str, Any], identifier: str | None) -> Request:
    """The name of a member's request depends on nothing that moves, so that the same call finds it again."""
    digest = hashlib.sha256(member.encode()).hexdigest()[:6]
    parameters = {"only_pending": params["only_pending"]}
    scheduled = params["scheduled"] or ""
    return make("restart", member, identifier and f"{identifier}-{digest}", "", parameters, scheduled)


def run(asker: Asker) -> dict[str, Any]:
    params, sight = dict(asker.params), asker.look()
    members = chosen(sight, params["members"], params["role"])
    alone = "scheduled" if params["scheduled"] else "" if params["wait"] else "wait=false"
    if alone and len(members) > 1:
        raise Invalid(f"{alone}: is for one member, because {', '.join(members)} would be restarted at once")
    identifier = params["request_id"] or (None if params["scheduled"] else uuid.uuid4().hex[:12])
    requests = [request_for(name, params, identifier) for name in members]
    if asker.check:
        return foreseen(asker, sight, requests)
    done, moved = list[Request](), False
    for request in requests:
        try:
            answer, moves = asker.ask(request)
            done.append(answer)
            if answer.state == "done" and moves and restarted(answer):
                asker.works_again(answer, sight)
        except NotDone as error:
            raise told(error, done, members) from None
        moved = moved or (moves and (restarted(answer) or not answer.finished))
    names = [each.member for each in done if each.state == "done" and restarted(each)]
    return result_of(done, moved, "; ".join(map(str, done)), members=members, restarted=names)


def foreseen(asker: Asker, sight: Sight, requests: list[Request]) -> dict[str, Any]:
    """What would be asked: nothing that is over already, and with only_pending of nobody who says that nothing waits.
    An agent that has not said may know of something."""
    params, members = asker.params, [each.member for each in requests]
    book = asker.book.read()[1]
    over = [each.member for each in requests if each.id in book and book[each.id].finished]
    calm = [each["name"] for each in sight.members if params["only_pending"] and each["pending_restart"] == []]
    left = [name for name in members if name not in over and name not in calm]
    when = f" at {params['scheduled']}" if params["scheduled"] else ""
    which = " where a parameter waits for it" if params["only_pending"] else ""
    why = "asked and answered before" if over else "no parameter waits for it"
    text = f"would restart {', '.join(left)}{which}{when}" if left else f"would restart nobody: {why}"
    return result_of([], bool(left), text, members=members, restarted=[])


def restarted(answer: Request) -> bool:
    return str(answer.result.get("restarted", "true")) != "false"


def told(error: NotDone, done: list[Request], members: list[str]) -> NotDone:
    """The same, with what else was done and what was not."""
    finished = [each.member for each in done if each.member != error.request.member]
    left = [name for name in members if name not in (*finished, error.request.member)]
    said = [f"before it: {', '.join(finished)}"] if finished else []
    said += [f"untouched: {', '.join(left)}"] if left else []
    return NotDone(". ".join([f"{error.request.member}: {error}", *said]), error.request, tuple(done))


def main() -> None:
    module = AnsibleModule(argument_spec={**AUTH_ARG_SPEC, **OPTIONS, **RESTARTING}, supports_check_mode=True)
    asker = Asker(connect(module), module.params, module.check_mode)
    end(module, lambda: run(asker))


if __name__ == "__main__":
    main()
