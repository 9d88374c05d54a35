"""What a cluster costs while nothing happens: memory and CPU of the agents, and requests at the API server.

Memory is PSS of everything in the members' containers that is not PostgreSQL (PID 1, agent). Requests are the API
server's own count: its audit log, by service account. All contenders are measured in the same two minutes, without
clients.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.failover import contenders, faults
from benchmarks.failover.contenders import Contender
from benchmarks.failover.runs import Run, begin
from benchmarks.failover.stage import Client, prepare
from pgherd_lab import pod_faults
from pgherd_lab.cluster import Lab
from pgherd_lab.demo.console import Failed
from pgherd_lab.errors import LabError

SETTLING, SECONDS = 30.0, 120.0
MIRROR = "system:serviceaccount:kube-system:endpointslicemirroring-controller"
WRITES = ("create", "update", "patch", "delete", "deletecollection")


def audit_policy(names: Iterable[str]) -> dict[str, Any]:
    """Only what the members ask, and what Kubernetes does about their Endpoints."""
    spaces = [f"bench-{name}" for name in names]
    groups = [f"system:serviceaccounts:{space}" for space in spaces]
    return {
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived", "ResponseStarted"],
        "rules": [
            {"level": "Metadata", "userGroups": groups},
            {"level": "Metadata", "users": [MIRROR], "namespaces": spaces},
            {"level": "None"},
        ],
    }  # fmt: skip


def pss(text: str) -> int:
    """Bytes, from /proc/PID/smaps_rollup."""
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))


def cpu(text: str) -> float:
    """Seconds of CPU, user and system, from /proc/PID/stat; children that are gone do not count."""
    fields = text[text.rindex(")") + 2 :].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def requests(lines: Iterable[str], namespace: str, minutes: float) -> dict[str, Any]:
    """Requests a minute of a namespace's members by verb and resource, and Kubernetes' own for its Endpoints."""
    own: Counter[str] = Counter()
    mirrored = writes = 0
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        user, what = entry["user"]["username"], entry.get("objectRef") or {}
        if user == MIRROR:
            mirrored += what.get("namespace") == namespace and entry["verb"] in WRITES
        elif user.startswith(f"system:serviceaccount:{namespace}:"):
            own[f"{entry['verb']} {what.get('resource', '')}".strip()] += 1
            writes += entry["verb"] in WRITES
    per_minute = {kind: round(count / minutes, 1) for kind, count in sorted(own.items())}
    return {
        "requests": round(own.total() / minutes, 1), "writes": round(writes / minutes, 1),
        "by_kind": per_minute, "mirrored_writes": round(mirrored / minutes, 1),
    }  # fmt: skip


def processes(lab: Lab, contender: Contender) -> dict[str, list[int]]:
    """Member -> pids of all but PostgreSQL."""
    found = {}
    for pod in contenders.pods(contender):
        name = pod["metadata"]["name"]
        container = pod_faults.find(lab, contender.namespace, name, pod_faults.CONTAINER)
        server = set(pod_faults.postgres(container))
        found[name] = [pid for pid in container.pids if pid not in server]
    return found


def seconds(pids: Iterable[int]) -> float:
    return sum(cpu(Path(f"/proc/{pid}/stat").read_text()) for pid in pids)


def memory(pids: Iterable[int]) -> int:
    return sum(pss(Path(f"/proc/{pid}/smaps_rollup").read_text()) for pid in pids)


def idle(lab: Lab, clients: Sequence[Client]) -> list[Run]:
    """One line for each contender."""
    try:
        for client in clients:
            prepare(client)
            client.quiet(True)
        time.sleep(SETTLING)
        return _measured(lab, clients)
    except (Failed, LabError, OSError) as error:
        failed = {"outcome": "failed", "error": str(error)[-1000:]}
        return [begin(client.contender, faults.IDLE) | failed for client in clients]
    finally:
        for client in clients:
            client.quiet(False)


def _measured(lab: Lab, clients: Sequence[Client]) -> list[Run]:
    results = [begin(client.contender, faults.IDLE) for client in clients]
    found = [processes(lab, client.contender) for client in clients]
    before = [{name: seconds(pids) for name, pids in each.items()} for each in found]
    offset, began = lab.layout.audit_log.stat().st_size, time.monotonic()
    time.sleep(SECONDS)
    minutes = (time.monotonic() - began) / 60
    with lab.layout.audit_log.open() as log:
        log.seek(offset)
        lines = log.readlines()
    for client, pids, old, result in zip(clients, found, before, results, strict=True):
        result["pss_bytes"] = {name: memory(each) for name, each in pids.items()}
        result["cpu_per_minute"] = _rates(pids, old, minutes)
        result["primary"] = contenders.leader(client.contender)
        result["api"] = requests(lines, client.contender.namespace, minutes)
    return results


def _rates(pids: Mapping[str, Sequence[int]], before: Mapping[str, float], minutes: float) -> dict[str, float]:
    return {name: round((seconds(each) - before[name]) / minutes, 3) for name, each in pids.items()}
