# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes of a member: claims for data, WAL and tablespaces, one that ends with the pod, and whatever users bring."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .checks import Problems
from .names import DNS_LABEL, DNS_NAME, DNS_RULE
from .pod import storage_class

FIELDS = ("storage", "storage_class", "access_modes", "wal_volume", "tablespaces", "temporary_volume", "volumes")
_ACCESS_MODES = ("ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany")
_CLAIM = ("storage", "storage_class", "access_modes")
_VOLUME = ("name", "claim", "image", "source", "containers", "read_only", "path")
_TABLESPACE = re.compile(r"[a-z][a-z0-9]{0,40}")
_VOLUME_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,53}[a-z0-9])?")
MOST = 10
MOUNTED = (
    "/dev/shm", "/etc/pgherd", "/etc/postgres", "/pgconf/tls", "/pgdata", "/pgtmp", "/pgwal", "/run/pgherd", "/tmp",
)  # fmt: skip
"""Where pgherd mounts its own."""


def claim(
    fields: Mapping[str, Any], where: str, cluster: Mapping[str, Any], problems: Problems, within: str = ""
) -> dict[str, Any]:
    """Size, class and access modes; the class is by default that of `postgres_storage_class`."""
    modes = problems.sequence(f"{where}.access_modes", fields.get("access_modes") or [_ACCESS_MODES[0]])
    for each in modes:
        problems.choice(f"{where}.access_modes", each, _ACCESS_MODES)
    return {
        "storage": problems.storage(f"{where}.storage", fields.get("storage")),
        "storage_class": storage_class(f"{where}.storage_class", fields.get("storage_class"), problems)
        or within
        or cluster["storage_class"],
        "access_modes": modes,
    }


def volumes_of_set(
    fields: Mapping[str, Any], where: str, cluster: Mapping[str, Any], containers: Sequence[str], problems: Problems
) -> dict[str, Any]:
    """What a set's members have; the names of claims come with the members (`claims`)."""
    data = claim(fields, where, cluster, problems)
    wal = temporary = None
    if fields.get("wal_volume") is not None:
        place = f"{where}.wal_volume"
        found = problems.fields(place, fields["wal_volume"], (*_CLAIM, "retire"))
        retire = problems.boolean(f"{place}.retire", found.get("retire", False))
        wal = {**claim(found, place, cluster, problems, data["storage_class"]), "retire": retire}
    if fields.get("temporary_volume") is not None:
        place = f"{where}.temporary_volume"
        found = problems.fields(place, fields["temporary_volume"], _CLAIM)
        temporary = claim(found, place, cluster, problems, data["storage_class"])
    return {
        **data,
        "wal_volume": wal,
        "tablespaces": _tablespaces(fields, where, cluster, data["storage_class"], problems),
        "temporary_volume": temporary,
        "volumes": _volumes(fields, where, containers, problems),
    }


def claims(member: str, shape: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One entry for each claim of a member: its name and labels, the volume of the pod, and where it is mounted."""
    size = {name: shape[name] for name in _CLAIM}
    found = [{"name": f"{member}-pgdata", "role": "pgdata", "data": "postgres", "volume": "postgres-data",
              "path": "/pgdata", **size}]  # fmt: skip
    if shape["wal_volume"]:
        found.append(
            {"name": f"{member}-pgwal", "role": "pgwal", "data": "postgres", "volume": "postgres-wal",
             "path": "/pgwal", **{name: shape["wal_volume"][name] for name in _CLAIM}}
        )  # fmt: skip
    for each in shape["tablespaces"]:
        name = each["name"]
        found.append(
            {"name": f"{member}-{name}-tablespace", "role": "tablespace", "data": name, "volume": f"tablespace-{name}",
             "path": f"/tablespaces/{name}", **{key: each[key] for key in _CLAIM}}
        )  # fmt: skip
    return found


def places(shape: Mapping[str, Any], version: int) -> dict[str, Any]:
    """What the agent must know of a member's volumes; nothing of one that has only its data's."""
    wal = shape["wal_volume"]
    return {
        **({"wal_directory": f"/pgwal/pg{version}_wal"} if wal and not wal["retire"] else {}),
        **({"tablespaces": [f"/tablespaces/{each['name']}/data" for each in shape["tablespaces"]]}
           if shape["tablespaces"] else {}),
    }  # fmt: skip


def mounts(shape: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Mounts of the user's volumes by container."""
    found: dict[str, list[dict[str, Any]]] = {"database": [], **{each["name"]: [] for each in shape["sidecars"]}}
    for volume in shape["volumes"]:
        mount = {
            "name": volume["name"],
            "mountPath": volume["path"],
            **({"readOnly": True} if volume["read_only"] else {}),
        }
        for container in volume["containers"]:
            found.setdefault(container, []).append(mount)
    return found


def _tablespaces(
    fields: Mapping[str, Any], where: str, cluster: Mapping[str, Any], within: str, problems: Problems
) -> list[dict[str, Any]]:
    found, names = list[dict[str, Any]](), set[str]()
    for index, entry in enumerate(problems.sequence(f"{where}.tablespaces", fields.get("tablespaces") or [])):
        place = f"{where}.tablespaces[{index}]"
        given = problems.fields(place, entry, ("name", *_CLAIM))
        rule = "must be a letter and then letters and digits, lower case, 41 at most"
        name = problems.pattern(f"{place}.name", given.get("name"), _TABLESPACE, rule)
        if name in names:
            problems.add(f"{place}.name", name, "is there twice")
        names.add(name)
        found.append({"name": name, **claim(given, place, cluster, problems, within)})
    return found


def _volumes(
    fields: Mapping[str, Any], where: str, containers: Sequence[str], problems: Problems
) -> list[dict[str, Any]]:
    """Volumes of the user's, mounted into all containers or those named."""
    given = problems.sequence(f"{where}.volumes", fields.get("volumes") or [])
    if len(given) > MOST:
        problems.texts.append(f"{where}.volumes: has {len(given)} entries; there may be {MOST}")
    found, names, taken = list[dict[str, Any]](), set[str](), set(MOUNTED)
    for index, entry in enumerate(given):
        place = f"{where}.volumes[{index}]"
        volume = problems.fields(place, entry, _VOLUME)
        rule = "must be up to 55 of a-z, 0-9 and -, beginning and ending with a letter or digit"
        name = problems.pattern(f"{place}.name", volume.get("name"), _VOLUME_NAME, rule)
        if name in names:
            problems.add(f"{place}.name", name, "is there twice")
        names.add(name)
        read_only = problems.boolean(f"{place}.read_only", volume.get("read_only", False))
        path = volume.get("path", f"/volumes/{name}")
        if not isinstance(path, str) or not path.startswith("/") or ":" in path or path.rstrip("/") in taken:
            rule = f"must be an absolute path without colons, each once, and none of {', '.join(MOUNTED)}"
            problems.add(f"{place}.path", path, rule)
        taken.add(str(path).rstrip("/"))
        found.append(
            {"name": f"volumes-{name}", "source": _source(volume, place, problems), "read_only": read_only,
             "path": path, "containers": _containers(volume, place, containers, problems)}
        )  # fmt: skip
    return found


def _source(volume: Mapping[str, Any], place: str, problems: Problems) -> dict[str, Any]:
    """As in a pod. A whole claim, an image or any other source, exactly one of them."""
    named = [field for field in ("claim", "image", "source") if volume.get(field)]
    if len(named) != 1:
        problems.add(place, {field: volume[field] for field in named}, "must have one of claim, image and source")
        return {}
    if named == ["claim"]:
        name = problems.pattern(f"{place}.claim", volume["claim"], DNS_NAME, DNS_RULE)
        source: dict[str, Any] = {"claimName": name}
        if volume.get("read_only"):
            source["readOnly"] = True
        return {"persistentVolumeClaim": source}
    if named == ["image"]:
        return {"image": problems.fields(f"{place}.image", volume["image"], ("reference", "pullPolicy"))}
    source = problems.mapping(f"{place}.source", volume["source"])
    if len(source) != 1:
        problems.add(f"{place}.source", source, "must have one field, which says what kind of volume it is")
    if "hostPath" in source:
        problems.add(f"{place}.source", source, "hostPath is refused: it opens the node; postgres_patches can add it")
    return source


def _containers(volume: Mapping[str, Any], place: str, known: Sequence[str], problems: Problems) -> list[str]:
    if volume.get("containers") is None:
        return list(known)
    chosen = problems.sequence(f"{place}.containers", volume["containers"])
    for each in chosen:
        if not isinstance(each, str) or not DNS_LABEL.fullmatch(each) or each not in known:
            problems.add(f"{place}.containers", each, f"must be one of {', '.join(known)}")
    return [str(each) for each in chosen]
