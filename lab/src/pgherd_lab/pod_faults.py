"""Faults of one pod: its containers, its agent, its PostgreSQL, its volume. Proved like all faults (see `faults`)."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence

from pgherd_lab import containers, process, signals
from pgherd_lab.api import Refused
from pgherd_lab.cluster import Lab
from pgherd_lab.containers import Container
from pgherd_lab.errors import LabError
from pgherd_lab.faults import Effect

NAMESPACE, CONTAINER = "databases", "database"
FILLER = "pgherd-lab-fill"
VOLUMES = "/run/lab/volumes"
AGENT = "pgherd.runtime"


def is_agent(words: Sequence[str]) -> bool:
    """Whether a command line is the agent's, `python -m pgherd.runtime ...`, and not the fence's that started it."""
    return any(first == "-m" and second == AGENT for first, second in itertools.pairwise(words))


def is_postgres(words: Sequence[str], name: str) -> bool:
    """Whether a process is PostgreSQL's: the postmaster or one of its children."""
    return name == "postgres" or bool(words and words[0].startswith("postgres:"))


def find(lab: Lab, namespace: str, pod: str, container: str) -> Container:
    return containers.container(lab.api, lab.nodes, namespace, pod, container)


def agents(found: Container) -> list[int]:
    return [pid for pid in found.pids if is_agent(signals.arguments(pid))]


def postgres(found: Container) -> list[int]:
    return [pid for pid in found.pids if is_postgres(signals.arguments(pid), signals.program(pid))]


def postmaster(found: Container) -> int:
    """The PostgreSQL process whose parent is not one. Raises LabError if there is none."""
    pids = set(postgres(found))
    tops = [pid for pid in sorted(pids) if (stat := process.stat(pid)) and stat.parent not in pids]
    if not tops:
        raise LabError(f"no PostgreSQL runs in container {found.name} of pod {found.pod}")
    return tops[0]


def kill_container(lab: Lab, pod: str, namespace: str = NAMESPACE, container: str = CONTAINER) -> Effect:
    """SIGKILL to the container's PID 1, which takes the rest of the container with it."""
    found = find(lab, namespace, pod, container)
    pids = containers.running(found)
    signals.kill(pids[:1])
    process.wait(lambda: not found.pids, 10, f"container {container} of {pod} ends", pause=0.01)
    return Effect("kill-container", pod, f"container {container} of {pod}: {len(pids)} processes gone",
                  facts={"container": found.identity, "pids": pids, "restarts": found.restarts})  # fmt: skip


def delete_pod(lab: Lab, pod: str, namespace: str = NAMESPACE, grace: int | None = None) -> Effect:
    """Delete it through the API and wait until this very pod is gone or replaced."""
    read, api = containers.pod(lab.api, namespace, pod), lab.api
    uid, path = read["metadata"]["uid"], f"/api/v1/namespaces/{namespace}/pods/{pod}"
    limit = grace if grace is not None else read["spec"].get("terminationGracePeriodSeconds", 30)
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": limit, "preconditions": {"uid": uid}}
    began = time.monotonic()
    api.request("DELETE", path, options)

    def gone() -> bool:
        try:
            return bool(api.get(path)["metadata"]["uid"] != uid)
        except Refused as error:
            return error.status == 404

    process.wait(gone, limit + 60, f"pod {pod} is gone", pause=0.05)
    return Effect("delete-pod", pod, f"pod {pod} ({uid[:8]}) is gone after {time.monotonic() - began:.1f} s",
                  facts={"uid": uid})  # fmt: skip


def _freeze(fault: str, what: str, found: Container, choose: Callable[[Container], list[int]]) -> Effect:
    if not choose(found):
        raise LabError(f"no {what} runs in container {found.name} of pod {found.pod}")
    pids = signals.freeze(lambda: choose(found))
    state = signals.state_line(pids[0])
    shown = f"{what} of {found.pod}: pid {', '.join(map(str, pids[:8]))}{' ...' if len(pids) > 8 else ''}, {state}"
    return Effect(fault, found.pod, shown, facts={"pids": pids, "state": state})


def _thaw(fault: str, what: str, found: Container, choose: Callable[[Container], list[int]]) -> Effect:
    pids = signals.thaw(lambda: choose(found))
    state = signals.state_line(pids[0]) if pids else ""
    shown = f"{what} of {found.pod}: {len(pids)} processes go on" if pids else f"{what} of {found.pod} was not stopped"
    return Effect(fault, found.pod, shown, facts={"pids": pids, "state": state})


def freeze_agent(lab: Lab, pod: str, namespace: str = NAMESPACE, container: str = CONTAINER) -> Effect:
    return _freeze("freeze-agent", "agent", find(lab, namespace, pod, container), agents)


def thaw_agent(lab: Lab, pod: str, namespace: str = NAMESPACE, container: str = CONTAINER) -> Effect:
    return _thaw("thaw-agent", "agent", find(lab, namespace, pod, container), agents)


def freeze_postgres(lab: Lab, pod: str, namespace: str = NAMESPACE, container: str = CONTAINER) -> Effect:
    """The postmaster and all its children."""
    return _freeze("freeze-postgres", "PostgreSQL", find(lab, namespace, pod, container), postgres)


def thaw_postgres(lab: Lab, pod: str, namespace: str = NAMESPACE, container: str = CONTAINER) -> Effect:
    return _thaw("thaw-postgres", "PostgreSQL", find(lab, namespace, pod, container), postgres)


def freeze_pod(lab: Lab, pod: str, namespace: str = NAMESPACE, container: str = CONTAINER) -> Effect:
    """Everything in the container, PID 1 too."""
    return _freeze("freeze-pod", container, find(lab, namespace, pod, container), lambda found: found.pids)


def thaw_pod(lab: Lab, pod: str, namespace: str = NAMESPACE, container: str = CONTAINER) -> Effect:
    return _thaw("thaw-pod", container, find(lab, namespace, pod, container), lambda found: found.pids)


def kill_postmaster(lab: Lab, pod: str, namespace: str = NAMESPACE, container: str = CONTAINER) -> Effect:
    """SIGKILL to the postmaster alone; its children notice by themselves."""
    pid = postmaster(find(lab, namespace, pod, container))
    signals.kill([pid])
    return Effect("kill-postmaster", pod, f"the postmaster of {pod} (pid {pid}) is gone", facts={"pid": pid})


def _disk(lab: Lab, pod: str, namespace: str) -> Container:
    """Any running container of the pod; its node's disk must be one of its own."""
    read = containers.pod(lab.api, namespace, pod)
    names = [status["name"] for status in read["status"].get("containerStatuses", []) if "running" in status["state"]]
    if not names:
        raise LabError(f"pod {pod} has no running container")
    found = find(lab, namespace, pod, names[0])
    kind = process.run(found.node.inside("stat", "-f", "-c", "%T", VOLUMES), 10).strip()
    mounted = process.run(found.node.inside("sh", "-c", f"grep -c ' {VOLUMES} ' /proc/mounts || true"), 10).strip()
    if mounted == "0":
        raise LabError(f"{found.node.name} has no disk of its own ({kind}, no loop device): it would fill the machine")
    return found


def _free(found: Container) -> int:
    return int(process.run(found.node.inside("stat", "-f", "-c", "%a", VOLUMES), 10))


def fill_volume(lab: Lab, pod: str, namespace: str = NAMESPACE) -> Effect:
    """Fill the disk of the pod's node, which all volumes of the node share; costs nothing on the machine's disk."""
    found = _disk(lab, pod, namespace)
    script = (
        f"cd {VOLUMES} && n=0; while n=$((n+1)); free=$(stat -f -c '%a' .); size=$(stat -f -c '%S' .); "
        f'[ "$free" -gt 0 ] && [ $n -lt 60 ]; do fallocate -l $((free * size)) {FILLER}.$n 2>/dev/null || '
        f"fallocate -l $((free * size / 2 / size * size + size)) {FILLER}.$n 2>/dev/null || true; done"
    )
    process.run(found.node.inside("sh", "-c", script), 60, check=False)
    left = _free(found)
    if left > 0:
        raise LabError(f"{left} blocks are still free on {found.node.name}")
    text = f"the volumes of {found.node.name} have no free block: the next write in {pod} finds no space"
    return Effect("fill-volume", pod, text, facts={"node": found.node.name, "free_blocks": left})


def free_volume(lab: Lab, pod: str, namespace: str = NAMESPACE) -> Effect:
    found = _disk(lab, pod, namespace)
    process.run(found.node.inside("sh", "-c", f"rm -f {VOLUMES}/{FILLER}.*"), 30)
    left = _free(found)
    if left == 0:
        raise LabError(f"{found.node.name} still has no free block, others filled it")
    return Effect("free-volume", pod, f"the volumes of {found.node.name} have {left} free blocks",
                  facts={"node": found.node.name, "free_blocks": left})  # fmt: skip
