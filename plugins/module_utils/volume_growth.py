# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes only grow, and only where their StorageClass lets them: looked at before anything is changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .checks import quantity
from .client import Api, ApiError
from .names import key_of

CLASSES = "/apis/storage.k8s.io/v1/storageclasses"

Definition = Mapping[str, Any]


def problems(api: Api, definitions: Iterable[Definition], live: Mapping[tuple[str, str], Definition]) -> Iterator[str]:
    """A sentence for each declared volume that cannot get its size from the one that is there."""
    for each in definitions:
        found = live.get(key_of(each))
        if each["kind"] != "PersistentVolumeClaim" or found is None:
            continue
        asked, has, kind = _size(each), _size(found), found["spec"].get("storageClassName") or ""
        where = f"postgres_instances[].storage: volume {each['metadata']['name']}"
        if quantity(asked) < quantity(has):
            yield f"{where} has {has} and cannot shrink to {asked}; at least {has} is allowed"
        elif quantity(asked) > quantity(has) and not expands(api, kind):
            yield (
                f"{where} has {has} and cannot grow to {asked}: StorageClass {kind or '(none)'} does not have "
                "allowVolumeExpansion"
            )


def _size(claim: Definition) -> str:
    return str(claim["spec"]["resources"]["requests"]["storage"])


def expands(api: Api, name: str) -> bool:
    """Whether volumes of this class may grow. Who may not read classes learns it from the API server's refusal."""
    try:
        return bool(api.request("GET", f"{CLASSES}/{name}").get("allowVolumeExpansion")) if name else False
    except ApiError as error:
        if error.status == 404:
            return False
        if error.status != 403:
            raise
        return True
