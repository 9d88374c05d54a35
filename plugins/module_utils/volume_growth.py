# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes only grow, where their StorageClass lets them, and change in nothing else: looked at before anything is
changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .checks import quantity
from .client import Api, ApiError
from .names import FIELD_MANAGER, key_of

CLASSES = "/apis/storage.k8s.io/v1/storageclasses"

Definition = Mapping[str, Any]


def problems(api: Api, definitions: Iterable[Definition], live: Mapping[tuple[str, str], Definition]) -> Iterator[str]:
    """A sentence for everything in which a declared volume cannot become what is declared from what is there."""
    for each in definitions:
        found = live.get(key_of(each))
        if each["kind"] != "PersistentVolumeClaim" or found is None:
            continue
        yield from _kind(each, found)
        asked, has, kind = _size(each), _size(found), found["spec"].get("storageClassName") or ""
        where = f"postgres_instances[].storage: volume {each['metadata']['name']}"
        if quantity(asked) < quantity(has):
            yield f"{where} has {has} and cannot shrink to {asked}; at least {has} is allowed"
        elif quantity(asked) > quantity(has) and not expands(api, kind):
            yield (
                f"{where} has {has} and cannot grow to {asked}: StorageClass {kind or '(none)'} does not have "
                "allowVolumeExpansion"
            )


def _kind(each: Definition, found: Definition) -> Iterator[str]:
    """Class and access modes stay what they were made with; a class that nobody names is Kubernetes' choice."""
    anew = "for members with others take this set out and declare another one"
    asked, has = each["spec"].get("storageClassName"), found["spec"].get("storageClassName")
    where = f"volume {each['metadata']['name']}"
    if has and asked != has and (asked or _is_ours(found, "storageClassName")):
        yield (
            f"postgres_instances[].storage_class or postgres_storage_class: {where} is of StorageClass {has} and "
            f"cannot become one of {asked or 'no named class'}; {has} is allowed; {anew}"
        )
    modes, had = each["spec"].get("accessModes"), found["spec"].get("accessModes")
    if modes and had and modes != had:
        yield (
            f"postgres_instances[].access_modes: {where} has {', '.join(had)} and cannot get {', '.join(modes)}; "
            f"{', '.join(had)} is allowed; {anew}"
        )


def _is_ours(found: Definition, field: str) -> bool:
    """Whether the play said this itself, so that saying nothing would take it away."""
    fields = [each.get("fieldsV1") or {} for each in found["metadata"].get("managedFields") or ()
              if each.get("manager") == FIELD_MANAGER]  # fmt: skip
    return any(f"f:{field}" in (each.get("f:spec") or {}) for each in fields)


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
