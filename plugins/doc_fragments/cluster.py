# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation that the modules of this collection share."""

from __future__ import annotations


class ModuleDocFragment:
    """Options and attributes of every module that asks the Kubernetes API."""

    DOCUMENTATION = r"""
options:
  namespace:
    description: Namespace of the cluster. It must exist.
    type: str
    required: true
requirements:
  - python >= 3.11
  - kubernetes >= 24.2.0
  - PyYAML >= 3.11
author:
  - pgherd contributors (@pgherd)
"""

    ATTRIBUTES = r"""
attributes:
  check_mode:
    description: Can run in check mode and say what a run would change, without changing it.
  diff_mode:
    description: Shows before and after of every object that moves, without what the server keeps and with secrets
      masked.
"""
