# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every member's pod has in common: image, ports, resources and sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .checks import Problems
from .names import DNS_NAME, DNS_RULE

MAJORS = (14, 15, 16, 17, 18)
PROJECTIONS = ("secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle")


def pod(values: Mapping[str, Any], image_needed: bool, problems: Problems) -> dict[str, Any]:
    version = problems.number("postgres_version", values["postgres_version"])
    if version not in MAJORS:
        problems.add("postgres_version", values["postgres_version"], f"must be one of {', '.join(map(str, MAJORS))}")
    image = values["postgres_image"]
    if not isinstance(image, str) or " " in image or (image_needed and not image):
        problems.add("postgres_image", image, "is required: the agent's image, with a tag or digest")
    port = problems.integer("postgres_port", values["postgres_port"], 1024, 65535)
    rest_port = problems.integer("postgres_rest_port", values["postgres_rest_port"], 1024, 65535)
    if port == rest_port:
        problems.add("postgres_port", port, "is also postgres_rest_port; each listener needs a port of its own")
    policy = problems.choice(
        "postgres_image_pull_policy", values["postgres_image_pull_policy"], ("Always", "IfNotPresent", "Never")
    )
    return {
        "version": int(version),
        "image": image,
        "image_pull_policy": policy,
        "image_pull_secrets": _pull_secrets(values["postgres_image_pull_secrets"], problems),
        "port": port,
        "rest_port": rest_port,
        "resources": problems.resources("postgres_resources", values["postgres_resources"]),
        "shared_memory_size": _shared_memory(values["postgres_shared_memory_size"], problems),
        "config_files": _projections("postgres_config_files", values["postgres_config_files"], problems),
        "supplemental_groups": _groups(values["postgres_supplemental_groups"], problems),
        "default_scheduling": problems.boolean("postgres_default_scheduling", values["postgres_default_scheduling"]),
        "temporary_size": problems.storage("postgres_temporary_size", values["postgres_temporary_size"]),
        "storage_class": storage_class("postgres_storage_class", values["postgres_storage_class"], problems),
    }


def storage_class(name: str, value: Any, problems: Problems) -> str:
    return problems.pattern(name, value, DNS_NAME, DNS_RULE) if value not in ("", None) else ""


def _pull_secrets(given: Any, problems: Problems) -> list[dict[str, Any]]:
    secrets = []
    for index, entry in enumerate(problems.sequence("postgres_image_pull_secrets", given)):
        where = f"postgres_image_pull_secrets[{index}]"
        fields = problems.fields(where, entry, ("name",))
        problems.pattern(f"{where}.name", fields.get("name"), DNS_NAME, DNS_RULE)
        secrets.append(fields)
    return secrets


def _shared_memory(value: Any, problems: Problems) -> str:
    """Empty: as much as the node has."""
    return problems.storage("postgres_shared_memory_size", value) if value != "" else ""


def _projections(name: str, given: Any, problems: Problems) -> list[dict[str, Any]]:
    """Sources of a projected volume, as in a pod; each is one kind of source."""
    sources = []
    for index, entry in enumerate(problems.sequence(name, given)):
        source = problems.fields(f"{name}[{index}]", entry, PROJECTIONS)
        if len(source) != 1:
            problems.add(f"{name}[{index}]", entry, f"must be exactly one of {', '.join(PROJECTIONS)}")
        for kind, value in source.items():
            problems.mapping(f"{name}[{index}].{kind}", value)
        sources.append(source)
    return sources


def _groups(given: Any, problems: Problems) -> list[int]:
    name = "postgres_supplemental_groups"
    return [problems.integer(name, each, 1, 2**31 - 1) for each in problems.sequence(name, given)]
