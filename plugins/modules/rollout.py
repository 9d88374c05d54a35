#!/usr/bin/python
# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Members brought to what is declared, in an order that disturbs clients least."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout
short_description: Restart, replace, remove, stop and start the members of a PostgreSQL cluster in a safe order
version_added: 0.1.0
description:
  - Replicas first, one at a time, each streaming again before the next; then a switchover; then the former primary.
    Members that are no longer declared go last, never while they lead, and keep their volumes.
  - Looks at the cluster before each step, so that an interrupted play goes on where it was.
  - Stops with the primary untouched when a member does not become ready. A member whose pod is of an earlier template
    and that is not ready is replaced first, since that may be what heals it.
  - In check mode it says what would be done, in which order, and for how long writes are expected to wait.
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
    description: Pod names of the declared members, with their tags.
    type: dict
    required: true
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
  shutdown:
    description: Whether to stop every member, the leader last.
    type: bool
    default: false
  budget:
    description:
      - How much may be disturbed. What exceeds it fails before anything is done.
      - C(seconds) for which writes are expected to wait, all steps together, and C(kinds) of steps that are allowed.
    type: dict
    default: {}
  changes:
    description:
      - What a dry run of M(pgherd.postgres.resources) said would change, C(objects) and C(configuration) of its result.
      - Only for check mode, in which nothing was applied before.
    type: dict
    default: {}
  wait_timeout:
    description: Seconds without progress after which it fails.
    type: int
    default: 300
  step_timeout:
    description: Seconds in which a step that was begun has to end, by default O(wait_timeout).
    type: int
"""

EXAMPLES = r"""
- name: Bring the members to what was applied
  pgherd.postgres.rollout:
    namespace: databases
    cluster: demo
    selector: { pgherd.dev/cluster: demo }
    members: { demo-instance1-abcd-0: {}, demo-instance1-efgh-0: {} }
    budget: { seconds: 1 }
"""

RETURN = r"""
steps:
  description: What was done; in check mode what would be, with the seconds for which writes are expected to wait.
  type: list
  elements: dict
  returned: success
  sample:
    - order: 1
      kind: switchover
      members: [demo-instance1-abcd-0, demo-instance1-efgh-0]
      reason: its pod is of an earlier template
      write_seconds: 0.6
      data_movement: ""
table:
  description: The same as lines for a person.
  type: list
  elements: str
  returned: success
write_seconds:
  description: Seconds for which writes are expected to wait, all steps together; null until the cluster is started.
  type: float
  returned: success
waiting:
  description: What the next step waits for, one sentence each.
  type: list
  elements: str
  returned: always
refused:
  description: Members that do not take the configuration, with PostgreSQL's words.
  type: list
  elements: str
  returned: success
done:
  description: Whether nothing is left to do.
  type: bool
  returned: always
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.pgherd.postgres.plugins.module_utils.asking import Invalid, NotDone
from ansible_collections.pgherd.postgres.plugins.module_utils.client import Api, ApiError, Unreachable, connect
from ansible_collections.pgherd.postgres.plugins.module_utils.rollout import Stuck, advance
from ansible_collections.pgherd.postgres.plugins.module_utils.rollout_foreseen import (
    Changes,
    foreseen,
    interruption,
    over_budget,
    rows,
    table,
)
from ansible_collections.pgherd.postgres.plugins.module_utils.rollout_observe import Place, look
from ansible_collections.pgherd.postgres.plugins.module_utils.rollout_plan import Plan, Step

OPTIONS = {
    **AUTH_ARG_SPEC,
    "namespace": {"type": "str", "required": True},
    "cluster": {"type": "str", "required": True},
    "members": {"type": "dict", "required": True},
    "selector": {"type": "dict", "required": True},
    "label_prefix": {"type": "str", "default": "pgherd.dev/"},
    "lock_kind": {"type": "str", "choices": ["Endpoints", "EndpointSlice"], "default": "Endpoints"},
    "shutdown": {"type": "bool", "default": False},
    "budget": {"type": "dict", "default": {}},
    "changes": {"type": "dict", "default": {}},
    "wait_timeout": {"type": "int", "default": 300},
    "step_timeout": {"type": "int"},
}


class Refused(Exception):
    """Nothing was done, and why."""


def result(name: str, steps: tuple[Step, ...], what: Plan) -> dict[str, Any]:
    waits = (*what.waits, *what.refused)
    return {
        "changed": bool(steps),
        "done": what.done,
        "steps": rows(steps),
        "table": table(name, steps, waits),
        "write_seconds": interruption(steps),
        "waiting": list(waits),
        "refused": list(what.refused),
    }


def within(name: str, steps: tuple[Step, ...], budget: dict[str, Any]) -> None:
    problems = over_budget(steps, budget)
    if problems:
        raise Refused(f"postgres_disruption_budget of {name} is exceeded: {'; '.join(problems)}. Nothing was done.")


def foresee(api: Api, place: Place, params: dict[str, Any]) -> dict[str, Any]:
    changes = Changes(params["changes"].get("objects") or (), params["changes"].get("configuration") or ())
    what = foreseen(look(api, place).cluster, changes, params["shutdown"])
    if what.refusals:
        raise Refused(f"{place.cluster}: {'; '.join(what.refusals)}. Nothing was done.")
    within(place.cluster, what.steps, params["budget"])
    return result(place.cluster, what.steps, what)


def step(api: Api, place: Place, params: dict[str, Any]) -> dict[str, Any]:
    """One step at most; what it waits for when there was none to be had in time."""

    def approve(steps: tuple[Step, ...]) -> None:
        within(place.cluster, steps, params["budget"])

    seconds, limit = params["wait_timeout"], params["step_timeout"]
    moved = advance(api, place, params["shutdown"], seconds, approve, seconds if limit is None else limit)
    what = moved.plan
    if what.refusals:
        raise Refused(f"{place.cluster}: {'; '.join(what.refusals)}.")
    return result(place.cluster, (moved.step,) if moved.step is not None else (), what)


def perform(module: Any) -> None:
    params = module.params
    place = Place(
        params["namespace"], params["cluster"], params["selector"], params["label_prefix"], params["lock_kind"],
        {name: tags or {} for name, tags in params["members"].items()},
    )  # fmt: skip
    try:
        found = (foresee if module.check_mode else step)(connect(module), place, params)
    except (Refused, Invalid, NotDone, Stuck) as error:
        module.fail_json(msg=str(error), done=False, waiting=[])
    except (ApiError, Unreachable) as error:
        # The action plugin looks again while there is time: an API server may come back.
        passing = isinstance(error, Unreachable) or error.status >= 500
        module.fail_json(msg=str(error), done=False, waiting=[str(error)] if passing else [])
    if not module.check_mode and not found["done"] and not found["steps"]:
        module.fail_json(msg=f"{place.cluster} does not get on: {'; '.join(found['waiting'])}", **found)
    module.exit_json(**found)


def main() -> None:
    perform(AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True))


if __name__ == "__main__":
    main()
