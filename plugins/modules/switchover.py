#!/usr/bin/python
# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let another member lead."""

from __future__ import annotations

DOCUMENTATION = r"""
module: switchover
short_description: Let another member of a PostgreSQL cluster lead
version_added: 0.1.0
description:
  - Asks the agents for a switchover and waits until the new leader is writable. Clients are interrupted for a fraction
    of a second and nothing is lost. If the candidate cannot take over, the leader goes on, and the module fails with
    the agent's reason.
  - Nothing is done, and C(changed) is false, when O(candidate) leads already, or when O(leader) is given and does not.
    Without either it switches over each time.
  - In check mode the module says who would hand over to whom, and writes nothing.
extends_documentation_fragment:
  - pgherd.postgres.cluster
  - pgherd.postgres.cluster.attributes
  - pgherd.postgres.request
  - kubernetes.core.k8s_auth_options
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  candidate:
    description: Pod name of the member that is to lead. Without it the leader chooses the best.
    type: str
  leader:
    description:
      - Pod name of a member that is not to lead. Without O(candidate) nothing is done while another one leads.
      - With O(candidate) it is refused when a third member leads.
    type: str
  scheduled:
    description: Not before this time, ISO 8601 with its offset from UTC. It is not waited for.
    type: str
  force:
    description:
      - A failover, which works without a leader, too. O(candidate) takes the lease once it has ended. While somebody
        leads it is a switchover.
    type: bool
    default: false
  accept_loss:
    description: With O(force), the candidate may lack WAL that was acknowledged. The receipt says how much it was.
    type: bool
    default: false
  leader_is_dead:
    description:
      - With O(force), your word that nothing of the last leader's PostgreSQL runs any more, so that its lease is not
        waited for. Refused when it answers. If you are wrong, two members accept writes.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: The first member leads
  pgherd.postgres.switchover:
    namespace: databases
    cluster: demo
    candidate: demo-instance1-23r5-0

- name: Somebody else leads before a node is drained
  pgherd.postgres.switchover:
    namespace: databases
    cluster: demo
    leader: demo-instance1-23r5-0

- name: On Sunday night
  pgherd.postgres.switchover:
    namespace: databases
    cluster: demo
    candidate: demo-instance1-chbj-0
    scheduled: "2036-01-06T02:00:00+00:00"

- name: Nobody leads, and its node is known to be off
  pgherd.postgres.switchover:
    namespace: databases
    cluster: demo
    candidate: demo-instance1-chbj-0
    force: true
    leader_is_dead: true
"""

RETURN = r"""
leader:
  description: Pod name of the member that leads at the end; in check mode of the one that would, empty when the agents
    would choose it.
  type: str
  returned: success
  sample: demo-instance1-23r5-0
previous_leader:
  description: Pod name of the member that led before, empty when nobody did.
  type: str
  returned: success
  sample: demo-instance1-chbj-0
requests:
  description: The request as the agents answered it; empty when nothing was asked for.
  type: list
  elements: dict
  returned: always
  sample:
    - id: 4f1c0a2b9d3e
      verb: switchover
      member: demo-instance1-23r5-0
      state: done
      reason: demo-instance1-23r5-0 is the leader
      result: {from: demo-instance1-chbj-0, to: demo-instance1-23r5-0, timeline: "2"}
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
from ansible_collections.pgherd.postgres.plugins.module_utils.requesting import OPTIONS, Asker, Sight, end, result_of

LEADING = {
    "candidate": {"type": "str"},
    "leader": {"type": "str"},
    "scheduled": {"type": "str"},
    "force": {"type": "bool", "default": False},
    "accept_loss": {"type": "bool", "default": False},
    "leader_is_dead": {"type": "bool", "default": False},
}


def superfluous(sight: Sight, candidate: str, leader: str) -> str:
    """Why there is nothing to do; empty when there is."""
    if candidate and sight.leader == candidate:
        return f"{candidate} leads already"
    if leader and not candidate and sight.leader not in ("", leader):
        return f"{sight.leader} leads, and not {leader}"
    return ""


def checked(sight: Sight, params: dict[str, Any]) -> None:
    """Raises Invalid for what the agents would refuse all the same."""
    candidate, leader = params["candidate"] or "", params["leader"] or ""
    for name in ("accept_loss", "leader_is_dead"):
        if params[name] and not params["force"]:
            raise Invalid(f"{name}=true: is for a failover; say force=true as well")
    if params["force"] and not candidate:
        raise Invalid("candidate: a failover (force=true) must name who is to lead")
    if candidate:
        sight.known(candidate, "candidate")
    if params["scheduled"]:
        return  # what is true then, nobody knows now
    if candidate and leader and sight.leader not in (leader, candidate):
        raise Invalid(f"leader={leader!r}: {sight.leader or 'nobody'} leads")
    if not sight.leader and not params["force"]:
        raise Invalid("nobody leads, so that nobody can hand over; force=true with a candidate is a failover")
    if sight.lease.paused:
        raise Invalid("the cluster is in maintenance, in which nobody is promoted; `pgherd resume` ends it")


def run(asker: Asker) -> dict[str, Any]:
    params = asker.params
    candidate, leader = params["candidate"] or "", params["leader"] or ""
    sight = asker.look()
    request = make(
        "failover" if params["force"] else "switchover",
        candidate,
        params["request_id"],
        leader,
        {name: params[name] for name in ("accept_loss", "leader_is_dead")},
        params["scheduled"] or "",
    )
    asked = asker.book.read()[1]
    if request.id not in asked:
        reason = "" if request.not_before else superfluous(sight, candidate, leader)
        if reason:
            return result_of([], False, reason, leader=sight.leader, previous_leader=sight.leader)
        checked(sight, dict(params))
    before = {"previous_leader": sight.leader}
    when = f" at {request.not_before}" if request.not_before else ""
    if asker.check:
        text = f"{sight.leader or 'nobody'} would hand over to {candidate or 'the best candidate'}{when}"
        moves = request.id not in asked or not asked[request.id].finished
        return result_of([], moves, text, leader=candidate, **before)
    done, moved = asker.ask(request)
    leads = done.result.get("to") or sight.leader
    return result_of([done], moved, str(done), leader=leads, **before)


def main() -> None:
    module = AnsibleModule(argument_spec={**AUTH_ARG_SPEC, **OPTIONS, **LEADING}, supports_check_mode=True)
    asker = Asker(connect(module), module.params, module.check_mode)

    def described() -> dict[str, Any]:
        result = run(asker)
        if module._diff and result["changed"]:
            names = (result["previous_leader"], result["leader"] or "(the best candidate)")
            result["diff"] = {key: f"leader: {name}\n" for key, name in zip(("before", "after"), names, strict=True)}
        return result

    end(module, described)


if __name__ == "__main__":
    main()
