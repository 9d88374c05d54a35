"""The faults: the lab's own, the same for every contender, each with how long it lasts and how it is undone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.failover.contenders import Contender, cluster
from pgherd_lab import faults, pod_faults, signals
from pgherd_lab.cluster import Lab
from pgherd_lab.containers import Container
from pgherd_lab.errors import LabError

CHEAP, COSTLY = 10, 3
"""Runs of each in a complete comparison."""


class NotOffered(Exception):
    """The contender has no such thing; the run is noted as not run."""


@dataclass(frozen=True)
class Target:
    """The primary that a fault hits."""

    lab: Lab
    contender: Contender
    pod: str
    node: str


Act = Callable[[Target], object]


@dataclass(frozen=True)
class Fault:
    """`hold`: seconds until it is undone; None: as soon as clients write again. `tail`: watched at least that long."""

    name: str
    title: str
    runs: int
    inject: Act
    undo: Act | None = None
    hold: float | None = None
    tail: float = 3.0
    times: tuple[str, ...] = ("",)
    """A name for each time that it is injected in a run; each is measured for itself."""


def nothing(target: Target) -> None:
    time.sleep(10)


def switchover(target: Target) -> None:
    command = target.contender.switchover(target.pod)
    if command is None:
        raise NotOffered(f"{target.contender.name} has no command for a switchover yet")
    cluster(target.contender).execute(target.pod, *command, limit=120)


def delete_pod(target: Target) -> None:
    pod_faults.delete_pod(target.lab, target.pod, target.contender.namespace)


def _container(target: Target) -> Container:
    return pod_faults.find(target.lab, target.contender.namespace, target.pod, pod_faults.CONTAINER)


def crash_agent(target: Target) -> None:
    pids = target.contender.agents(_container(target))
    if not pids:
        raise LabError(f"no agent runs in {target.pod}")
    signals.kill(pids)


def kill_postmaster(target: Target) -> None:
    pod_faults.kill_postmaster(target.lab, target.pod, target.contender.namespace)


def kill_container(target: Target) -> None:
    pod_faults.kill_container(target.lab, target.pod, target.contender.namespace)


def freeze_agent(target: Target) -> None:
    found = _container(target)
    signals.freeze(lambda: target.contender.agents(found))


def thaw_agent(target: Target) -> None:
    """What is still there: a contender may have ended the frozen agent meanwhile."""
    try:
        found = _container(target)
    except LabError:
        return
    signals.thaw(lambda: target.contender.agents(found))


def freeze_postgres(target: Target) -> None:
    pod_faults.freeze_postgres(target.lab, target.pod, target.contender.namespace)


def thaw_postgres(target: Target) -> None:
    try:
        pod_faults.thaw_postgres(target.lab, target.pod, target.contender.namespace)
    except LabError:
        return


ALL = {
    fault.name: fault
    for fault in (
        Fault("none", "no fault (what the client sees anyway)", COSTLY, nothing),
        Fault("switchover", "switchover on request", CHEAP, switchover),
        Fault("delete-pod", "pod deleted (agent told to stop)", CHEAP, delete_pod),
        Fault("crash-agent", "agent's process killed", CHEAP, crash_agent),
        Fault("kill-postmaster", "postmaster killed", CHEAP, kill_postmaster),
        Fault("kill-container", "container killed, and once more", CHEAP, kill_container, times=("first", "second")),
        Fault("kill-node", "node killed", COSTLY, lambda target: faults.kill_node(target.lab, target.node),
              lambda target: faults.start_node(target.lab, target.node)),
        Fault("freeze-node", "node frozen 60 s, thawed", COSTLY,
              lambda target: faults.freeze_node(target.lab, target.node),
              lambda target: faults.thaw_node(target.lab, target.node), 60, 15),
        Fault("cut-node", "node cut off 60 s", COSTLY, lambda target: faults.cut(target.lab, target.node),
              lambda target: faults.heal(target.lab, target.node), 60, 15),
        Fault("stop-api", "API stopped 60 s", COSTLY, lambda target: faults.stop_api(target.lab),
              lambda target: faults.start_api(target.lab), 60, 10),
        Fault("freeze-agent", "agent (only) frozen 120 s, PostgreSQL writing", COSTLY, freeze_agent, thaw_agent,
              120, 15),
        Fault("freeze-postgres", "PostgreSQL (only) frozen 60 s", COSTLY, freeze_postgres, thaw_postgres, 60, 15),
    )
}  # fmt: skip
COLD_START = "cold-start"
IDLE = "idle"
NAMES = (*ALL, COLD_START, IDLE)
WANTED = {**{name: fault.runs for name, fault in ALL.items()}, COLD_START: COSTLY, IDLE: COSTLY}
