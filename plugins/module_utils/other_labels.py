# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster that is there, but under other labels than the inventory says: found by names, since by labels nothing is.

Whoever stops or deletes a cluster by its labels would else find nothing to do, and say that it was done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .client import Api, ApiError
from .names import CONFIGURATION_KINDS, path

_CLUSTER = "cluster"


def trouble(item: Mapping[str, Any], selector: Mapping[str, str]) -> str:
    """What is wrong with the prefix that the selector goes by; empty when nothing is, or `item` is no cluster's."""
    labels = (item.get("metadata") or {}).get("labels") or {}
    key, cluster = next(iter(selector.items()))
    if labels.get(key) == cluster:
        return ""
    others = [name for name in sorted(labels) if name.endswith(f"/{_CLUSTER}") and labels[name] == cluster]
    if not others:
        return ""
    return (
        f"postgres_label_prefix={key.removesuffix(_CLUSTER)!r}: {item.get('kind') or 'object'} "
        f"{item['metadata']['name']} shows that cluster {cluster} is there with labels of "
        f"{others[0].removesuffix(_CLUSTER)!r}; set it to that"
    )


def of_cluster(api: Api, namespace: str, selector: Mapping[str, str], lock_kind: str) -> str:
    """The first trouble with what every cluster has. Several, because an interrupted deletion may have taken some.

    Raises ApiError and Unreachable.
    """
    cluster = next(iter(selector.values()))
    places = (
        ("ConfigMap", f"{cluster}-config"), ("Service", f"{cluster}-pods"), (lock_kind, f"{cluster}-ha"),
        (CONFIGURATION_KINDS[lock_kind], f"{cluster}-ha-config"),
    )  # fmt: skip
    for kind, name in places:
        try:
            found = api.request("GET", path(kind, namespace, name))
        except ApiError as error:
            if error.status not in (403, 404):
                raise
            continue
        if word := trouble({"kind": kind, **found}, selector):
            return word
    return ""
