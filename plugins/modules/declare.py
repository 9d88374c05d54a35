#!/usr/bin/python
# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: declare
short_description: Turn an inventory host's variables into one cluster, or refuse them
version_added: 0.1.0
description:
  - Reads every variable of the host that begins with C(postgres_) and checks it. Unknown variables and fields, names
    that Kubernetes would not take, sizes without a unit, timing that cannot work and parameters that belong to the
    product are refused, each with the variable's name, what was given and what is allowed.
  - C(postgres_cluster_manifest) may name a file with a PGO C(PostgresCluster). A relative path is looked for in the
    inventory's folder, then in the playbook's, then where Ansible was started.
    Its fields become variables; one that pgherd has not is refused with its path.
  - Runs on the controller, asks no API and changes nothing.
options:
  image_needed:
    description: Whether C(postgres_image) is required. Who only looks at a cluster or deletes it need not know it.
    type: bool
    default: true
requirements:
  - python >= 3.11
author:
  - pgherd contributors (@pgherd)
attributes:
  check_mode:
    description: Can run in check mode.
    support: full
  diff_mode:
    description: Shows what changed.
    support: none
  action:
    description: Runs on the controller.
    support: full
"""

EXAMPLES = r"""
- name: Read what the inventory declares
  pgherd.postgres.declare:
  register: declared

- name: The same to look at a cluster
  pgherd.postgres.declare:
    image_needed: false
  register: declared
"""

RETURN = r"""
cluster:
  description:
    - The cluster with every default filled in, its members' names and the certificates that it needs.
    - Censored in the output, but registered, where a secret is in its dynamic configuration.
  type: dict
  returned: success
problems:
  description: What is wrong, one sentence each.
  type: list
  elements: str
  returned: failure
"""
