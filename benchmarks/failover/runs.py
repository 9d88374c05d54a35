"""One run: prepare, writers, fault, undo, wait for whole, count. What it gives is one line of runs.jsonl."""

from __future__ import annotations

import datetime
import os
import threading
import time
import uuid
from typing import Any

from benchmarks.failover import contenders, faults, measure
from benchmarks.failover.contenders import Contender, cluster
from benchmarks.failover.faults import Fault, Target
from benchmarks.failover.stage import SETTLE, Client, now, prepare, settled, whole
from pgherd_lab import faults as lab_faults
from pgherd_lab.cluster import Lab
from pgherd_lab.demo.console import Failed, wait
from pgherd_lab.errors import LabError

LONGEST = 150.0
"""Seconds after a fault (and its undoing) in which writes must come back; else the run counts as failed."""
STEADY = 3.0
SAMPLE = 5
Run = dict[str, Any]


def begin(contender: Contender, fault: str) -> Run:
    at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    load = round(os.getloadavg()[0], 1)
    return {"at": at, "load": load, "contender": contender.name, "fault": fault, "outcome": "measured"}


def repair(lab: Lab) -> None:
    """Whatever a fault that was broken off may have left."""
    lab.start_api()
    for node in lab.nodes:
        if not node.running:
            lab.start_node(node)
        else:
            lab_faults.thaw_node(lab, node.name)
            lab_faults.heal(lab, node.name)


def undo(fault: Fault, target: Target, client: Client, run: str, since: float) -> None:
    """As long as it lasts, undone, and until clients write again."""
    if fault.hold is not None:
        time.sleep(max(0.0, fault.hold - (now() - since)))
    else:
        _resumed(client, run, since)
    if fault.undo is not None:
        fault.undo(target)
        since = now()
        time.sleep(fault.tail)
    _resumed(client, run, since)


def _resumed(client: Client, run: str, since: float) -> None:
    wait("writes again", lambda: client.resumed(run, since, STEADY) or None, LONGEST)


def strike(fault: Fault, client: Client, run: str, result: Run) -> list[float]:
    """Inject it as often as it says; the instants. Facts go into `result`."""
    instants, pods = [], []
    for number, _ in enumerate(fault.times):
        if number:
            wait(f"{client.contender.name} to be whole", lambda: settled(client), SETTLE)
        pod = contenders.leader(client.contender)
        node = contenders.read(f"/api/v1/namespaces/{client.contender.namespace}/pods/{pod}")["spec"]["nodeName"]
        target = Target(client.lab, client.contender, pod, node)
        pods.append(pod)
        instants.append(now())
        fault.inject(target)
        result["pods"] = pods
        undo(fault, target, client, run, instants[-1])
    return instants


def gap(acknowledged: list[measure.Row], since: float, until: float) -> dict[str, Any]:
    """`seconds` is the client's through the Service, `any_session` without the way of the Service's route."""
    found = measure.longest_gap(acknowledged, since, until)
    silence = measure.longest_silence(acknowledged, since, until)
    return {"seconds": round(found.seconds, 3), "ended": found.ended, "any_session": round(silence.seconds, 3)}


def account(client: Client, run: str, result: Run, windows: list[tuple[str, float, float]]) -> None:
    """What the writers' file and the table say, into `result`."""
    acknowledged = client.rows(run)
    missing = measure.lost(acknowledged, client.present(run))
    result["gaps"] = {name: gap(acknowledged, since, until) for name, since, until in windows}
    result["acknowledged"] = len(acknowledged)
    result["lost"] = len(missing)
    result["two_primaries"] = round(measure.overlap(measure.intervals(acknowledged)), 3)
    if missing:
        began = windows[0][1]
        ages = sorted(row.acked - began for row in missing)
        result["lost_between"] = [round(ages[0], 3), round(ages[-1], 3)]
        result["lost_sample"] = [vars(row) for row in missing[:SAMPLE]]


def perform(client: Client, fault: Fault) -> Run:
    """One run of a fault; failures of the contender are results, too."""
    result, run = begin(client.contender, fault.name), uuid.uuid4().hex[:8]
    result["run"] = run
    try:
        prepare(client)
        client.write(run)
        instants = strike(fault, client, run, result)
        ended = now()
        whole_again(client, ended, result)
    except faults.NotOffered as error:
        client.stop(run)
        return result | {"outcome": "not run", "error": str(error)}
    except (Failed, LabError, OSError) as error:
        result |= {"outcome": "failed", "error": str(error)[-1000:]}
        client.stop(run)
        return result
    finally:
        if fault.undo is not None:
            repair(client.lab)
    client.stop(run)
    account(client, run, result, list(zip(fault.times, instants, [*instants[1:], ended], strict=True)))
    client.forget(run)
    return result


def whole_again(client: Client, since: float, result: Run) -> None:
    """How long after the client's gap all three members were back; None when they were not within the limit."""
    try:
        wait(f"{client.contender.name} to be whole", lambda: settled(client), SETTLE)
        result["whole_after"] = round(now() - since, 1)
    except Failed as error:
        result |= {"whole_after": None, "error": str(error)[-1000:]}


def gone(contender: Contender) -> None:
    where = cluster(contender)

    def empty() -> bool | None:
        return not where.get("pods,pvc,statefulsets", "-l", contender.label)["items"] or None

    wait(f"everything of {contender.name} to be gone", empty, 120)


def cold_start(client: Client) -> Run:
    """From the first StatefulSet in the API to a write through the Service that two replicas show."""
    contender, began = client.contender, []
    result = begin(contender, faults.COLD_START)
    path = f"/apis/apps/v1/namespaces/{contender.namespace}/statefulsets"
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            if client.lab.api.get(path)["items"]:
                began.append(now())
                return
            time.sleep(0.05)

    try:
        contender.destroy()
        gone(contender)
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        contender.deploy()
        since = now()
        at = wait("primary and two streaming", lambda: _cold(client, began[0] if began else since), SETTLE)
        result["gaps"] = {"": {"seconds": round(at - began[0], 3), "ended": True}}
        result |= {"lost": 0, "two_primaries": 0.0}
    except (Failed, LabError, OSError) as error:
        result |= {"outcome": "failed", "error": str(error)[-1000:]}
    finally:
        ended.set()
    return result


def _cold(client: Client, since: float) -> float | None:
    status = client.status()
    return status.at if status.at > since and whole(status, 2) else None
