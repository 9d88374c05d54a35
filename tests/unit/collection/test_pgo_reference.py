"""A PGO manifest gives the objects that PGO makes of it; each difference has its reason in pgo/reference.yml."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.pgherd.postgres.plugins.module_utils.declaration import declare
from ansible_collections.pgherd.postgres.plugins.module_utils.issuing import Authority, Policy, issue
from ansible_collections.pgherd.postgres.plugins.module_utils.names import PGO_PREFIX
from ansible_collections.pgherd.postgres.plugins.module_utils.users import secret

from .rendering import rendered

FOLDER = Path(__file__).parent / "pgo"
REFERENCE: Mapping[str, Any] = yaml.safe_load((FOLDER / "reference.yml").read_text())


def declared(name: str) -> dict[str, Any]:
    manifest = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    image = {} if "image" in manifest["spec"] else {"postgres_image": "registry.example/pgherd:17"}
    return declare(
        {"postgres_cluster_manifest": manifest, "postgres_manifest_ignore": ["spec.backups"], **image}, "host"
    )


def facts(row: Mapping[str, Any]) -> Iterator[str]:
    """One line for each thing that somebody may rely on."""
    head = f"{row['kind']} {row['name']}"
    yield f"{head} exists"
    yield from (f"{head} label {key}={value}" for key, value in (row.get("labels") or {}).items())
    yield from (f"{head} pod label {key}={value}" for key, value in (row.get("pod_labels") or {}).items())
    yield from (f"{head} key {key}" for key in row.get("keys") or ())
    yield from (f"{head} port {port}" for port in row.get("ports") or ())
    yield from (f"{head} selects {key}={value}" for key, value in (row.get("selector") or {}).items())
    yield from (f"{head} init {name}" for name in row.get("init") or ())
    if "type" in row:
        yield f"{head} type {row['type']}"
    for name, container in (row.get("containers") or {}).items():
        yield f"{head} container {name}"
        yield from (f"{head} container {name} port {port}" for port in container.get("ports") or ())
        yield from (
            f"{head} container {name} mounts {volume} at {path}" for path, volume in container.get("mounts", {}).items()
        )


def row_of(definition: Mapping[str, Any]) -> dict[str, Any]:
    """The same about an object of ours."""
    metadata, spec = definition["metadata"], definition.get("spec") or {}
    row = {"kind": definition["kind"], "name": metadata["name"], "labels": _bare(metadata["labels"], own=True)}
    if definition["kind"] in ("Secret", "ConfigMap"):
        row["keys"] = list(definition.get("data") or {})
    if definition["kind"] == "Service":
        row["type"] = "headless" if spec.get("clusterIP") == "None" else spec["type"]
        row["selector"] = _bare(spec.get("selector") or {})
        row["ports"] = [f"{each['name']} {each['port']}" for each in spec.get("ports") or ()]
    if definition["kind"] == "Endpoints":
        row["ports"] = [f"{e['name']} {e['port']}" for each in definition.get("subsets") or () for e in each["ports"]]
    if definition["kind"] in ("StatefulSet", "Deployment"):
        pod = spec["template"]
        row["pod_labels"] = _bare(pod["metadata"]["labels"])
        row["containers"] = {each["name"]: _container(each) for each in pod["spec"]["containers"]}
        row["init"] = [each["name"] for each in pod["spec"].get("initContainers") or ()]
    return row


def _container(container: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "ports": [f"{each['name']} {each['containerPort']}" for each in container.get("ports") or ()],
        "mounts": {each["mountPath"]: each["name"] for each in container["volumeMounts"]},
    }


def _bare(labels: Mapping[str, str], own: bool = False) -> dict[str, str]:
    found = {key.removeprefix(PGO_PREFIX): value for key, value in labels.items()}
    assert all(not key.startswith("pgherd.dev/") for key in labels)
    if own:
        del found["cluster"]
    return found


def ours(cluster: Mapping[str, Any]) -> set[str]:
    """Facts about everything that the play makes, the first member of each set standing for all."""
    applied, once = rendered(dict(cluster))
    certificates = issue(
        Authority(f"{cluster['name']}-ca", "authority"), cluster["certificates"], {}, (), Policy(),
        {"namespace": cluster["namespace"], "labels": cluster["labels"]}, datetime.now(UTC), generate=False,
    ).issued  # fmt: skip
    secrets = [secret(user, None, False) for user in cluster["users"]]
    objects = [*applied, *once, *(each.definition for each in certificates if each.definition), *secrets]
    lines = {line for each in objects for line in facts(row_of(each))}
    for each in cluster["sets"]:
        first, *others = [member["name"] for member in each["members"]]
        lines = {line for line in lines if not any(other in line for other in others)}
        lines = {line.replace(first, f"{cluster['name']}-{each['name']}-xxxx") for line in lines}
    return lines


def unlisted(differences: Iterable[str], reasons: Iterable[Mapping[str, str]]) -> tuple[list[str], list[str]]:
    """Differences without a reason, and reasons without a difference."""
    differences, reasons = sorted(differences), list(reasons)
    patterns = [each["fact"] for each in reasons]
    assert all(each["reason"] for each in reasons)
    without = [line for line in differences if not any(fnmatchcase(line, pattern) for pattern in patterns)]
    stale = [pattern for pattern in patterns if not any(fnmatchcase(line, pattern) for line in differences)]
    return without, stale


def compared(name: str) -> tuple[set[str], set[str]]:
    """What PGO has and pgherd has not, and the other way round; of the objects that the rows name."""
    rows = REFERENCE[name]["rows"]
    theirs, mine = {line for row in rows for line in facts(row)}, ours(declared(name))
    if name == "rich":  # its table has no rows for objects that are like those of the smallest one
        named = tuple(f"{row['kind']} {row['name']} " for row in rows)
        mine = {line for line in mine if line.startswith(named)}
    return theirs - mine, mine - theirs


@pytest.mark.parametrize("name", ["smallest", "rich"])
def test_what_pgo_makes_of_a_manifest_is_there_or_has_a_reason(name: str) -> None:
    missing, extra = compared(name)
    known = REFERENCE["differences"]
    assert unlisted(missing, [*known["missing"], *REFERENCE[name]["missing"]])[0] == []
    assert unlisted(extra, known["extra"])[0] == []


def test_no_reason_outlives_its_difference() -> None:
    both, known = [compared(name) for name in ("smallest", "rich")], REFERENCE["differences"]
    own = [*REFERENCE["smallest"]["missing"], *REFERENCE["rich"]["missing"]]
    for index, reasons in enumerate(([*known["missing"], *own], known["extra"])):
        assert unlisted({line for found in both for line in found[index]}, reasons)[1] == []


@pytest.mark.parametrize("change", ["label", "gone", "stale"])
def test_the_comparison_fails_in_either_direction(change: str) -> None:
    missing, extra = compared("smallest")
    known = REFERENCE["differences"]["missing"] + REFERENCE["smallest"]["missing"]
    if change == "label":
        assert unlisted({*extra, "Service hippo-ha label new=one"}, REFERENCE["differences"]["extra"])[0]
    elif change == "gone":
        assert unlisted({*missing, "Service hippo-ha port postgres 5432"}, known)[0]
    else:
        assert unlisted(missing, [*known, {"fact": "Service hippo-old *", "reason": "it was there once"}])[1]
