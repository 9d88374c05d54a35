# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster is called, where it is, and by which labels its objects are found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .checks import Problems
from .names import DNS_LABEL, DNS_NAME, DNS_RULE, LABEL_PREFIX, LOCK_KINDS, NAME_RULE, PGO_PREFIX, PREFIX, SERVICE_NAME
from .object_metadata import both


def identity(values: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    allowed = f"{NAME_RULE}, a letter first; without this variable it is the inventory host's name"
    name = problems.pattern("postgres_cluster_name", values["postgres_cluster_name"], SERVICE_NAME, allowed)
    if "postgres_namespace" not in values:
        problems.texts.append("postgres_namespace: is required; name a namespace that exists")
    namespace = values.get("postgres_namespace", "default")
    problems.pattern("postgres_namespace", namespace, DNS_LABEL, NAME_RULE)
    given_prefix = values["postgres_label_prefix"]
    prefix = problems.pattern(
        "postgres_label_prefix",
        PREFIX if given_prefix == "" else given_prefix,
        LABEL_PREFIX,
        "must be a DNS name followed by a slash, such as pgherd.dev/",
    )
    common = {f"{prefix}cluster": name}
    owned = {f"{prefix}applied-by": "play"}
    given = both(values, "postgres_", "", prefix, problems)
    lock = problems.choice("postgres_lock", values["postgres_lock"], tuple(LOCK_KINDS))
    return {
        "name": name,
        "namespace": str(namespace),
        "prefix": prefix,
        "lock": lock,
        "lock_kind": LOCK_KINDS.get(lock, "Endpoints"),
        "selector": common,
        "owned": owned,
        "labels": {**given["labels"], **common, **owned},
        "user_labels": given["labels"],
        "annotations": given["annotations"],
        # PGO's users select by these; its own prefix makes the objects look like PGO's.
        "scope": {f"{prefix}patroni": f"{name}-ha"} if prefix == PGO_PREFIX else {},
        "primary_role": "master" if prefix == PGO_PREFIX else "primary",
        "domain": problems.pattern(
            "postgres_cluster_domain", values["postgres_cluster_domain"], DNS_NAME, f"{DNS_RULE}, such as cluster.local"
        ),
    }
