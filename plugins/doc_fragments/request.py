# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation that the modules share which ask a cluster's agents for something."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of every module that writes a request and waits for its answer."""

    DOCUMENTATION = r"""
options:
  cluster:
    description: Name of the PostgreSQL cluster.
    type: str
    required: true
  label_prefix:
    description: Prefix of the cluster's labels.
    type: str
    default: pgherd.dev/
  lock_kind:
    description: Kind of the lock. Without it both are looked for.
    type: str
    choices: [Endpoints, EndpointSlice]
  request_id:
    description:
      - The request's own name, 1 to 40 of a-z, 0-9 and -. The same one again is the same request, so that a play which
        was cut off can be run again to wait for the end of what it had asked for. Finished requests are kept for an
        hour.
      - Without it a request is new each time; one that is scheduled is named by what it asks for.
    type: str
  wait:
    description: Whether to wait until it is done. What is scheduled is never waited for.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait at most. The request goes on when they have passed.
    type: int
    default: 180
notes:
  - The agents execute it; nothing is executed in pods. Needed are the rights to get and patch the cluster's ConfigMap
    C(<cluster>-ha-failover), to list and watch configmaps and pods, and to get the lock.
  - A request that nobody has begun within a minute is refused, so that it cannot strike when it is forgotten.
"""
