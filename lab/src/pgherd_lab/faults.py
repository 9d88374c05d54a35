"""Ways to break the lab, for tests, the demonstration and people alike.

Each function takes effect and proves it before it returns: the process is gone, `State: T` is in /proc, the
connection fails. What it did comes back as an `Effect`. Nodes, links, API here; pods in `pod_faults`.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

from pgherd_lab import cgroups, links, network, process, signals
from pgherd_lab.cluster import Lab
from pgherd_lab.errors import LabError
from pgherd_lab.node import Node


@dataclass(frozen=True)
class Effect:
    """What a fault did: one line for people, the facts for programs. `at` is wall-clock seconds of the effect."""

    fault: str
    subject: str
    text: str
    at: float = field(default_factory=time.time)
    facts: dict[str, Any] = field(default_factory=dict)

    def json(self) -> str:
        return json.dumps(
            {"fault": self.fault, "subject": self.subject, "text": self.text, "at": self.at, **self.facts}
        )


def _running(lab: Lab, name: str) -> Node:
    node = lab.node(name)
    node.init()
    return node


def kill_node(lab: Lab, name: str) -> Effect:
    """Power off: no process, no packet, no farewell. Volumes and images stay."""
    node = _running(lab, name)
    began = len(cgroups.members(lab.name, name))
    node.kill()
    return Effect("kill-node", name, f"{name} is off: {began} processes gone, its network too", facts={"ended": began})


def start_node(lab: Lab, name: str) -> Effect:
    """Power on; returns when the API says that the node is Ready again."""
    node, began = lab.node(name), time.monotonic()
    if node.running:
        return Effect("start-node", name, f"{name} was running")
    lab.start_node(node)
    seconds = time.monotonic() - began
    return Effect("start-node", name, f"{name} is Ready after {seconds:.1f} s", facts={"seconds": seconds})


def freeze_node(lab: Lab, name: str) -> Effect:
    """Stop every process of the node, pods included; the kernel still answers for its sockets."""
    node = _running(lab, name)
    pids = signals.freeze(lambda: cgroups.members(lab.name, name))
    state = signals.state_line(node.init())
    return Effect("freeze-node", name, f"{name}: {len(pids)} processes stopped, {state}",
                  facts={"pids": pids, "state": state})  # fmt: skip


def thaw_node(lab: Lab, name: str) -> Effect:
    _running(lab, name)
    pids = signals.thaw(lambda: cgroups.members(lab.name, name))
    return Effect("thaw-node", name, f"{name}: {len(pids)} processes go on", facts={"pids": pids})


def cut(lab: Lab, name: str, what: str = "all", loss: int = 100) -> Effect:
    """Cut a node from `api`, `nodes` or `all`; replaces an earlier cut of the node. `loss`: per cent of packets."""
    node = _running(lab, name)
    if what not in links.WHAT:
        raise LabError(f"a node is cut from {', '.join(links.WHAT)}, not from {what}")
    if not 1 <= loss <= 100:
        raise LabError(f"loss={loss}: must be 1 to 100 per cent")
    links.cut(node.namespace, name, node.peers, what, loss)
    if loss < 100:
        return _thinned(lab, node, what, loss)
    seen = links.probe(node.namespace, _answering(lab, links.targets(name, node.peers, what)))
    if "open" in seen.values():
        raise LabError(f"{name} still reaches {[target for target, state in seen.items() if state == 'open']}")
    return Effect("cut", name, f"{name} is cut from {what}: no connection to {', '.join(seen) or 'anything'}",
                  facts={"from": what, "targets": seen})  # fmt: skip


def _thinned(lab: Lab, node: Node, what: str, loss: int) -> Effect:
    """Proved by packets that the rules have taken: the node's own, and attempts to connect."""
    end = time.monotonic() + 20
    while (taken := links.dropped(node.namespace)) == 0:
        if time.monotonic() > end:
            raise LabError(f"no packet of {node.name} was lost in 20 s")
        links.probe(node.namespace, links.targets(node.name, node.peers, what))
    text = f"{node.name} loses {loss} % of its packets to and from {what}: {taken} so far"
    return Effect("cut", node.name, text, facts={"from": what, "loss": loss, "dropped": taken})


def heal(lab: Lab, name: str) -> Effect:
    """Undo `cut`; proved by a connection to whatever of the API and the other nodes is there to answer."""
    node = _running(lab, name)
    links.heal(node.namespace)
    wanted = _answering(lab, links.targets(name, node.peers, "all"))
    end = time.monotonic() + 10
    while "cut" in (seen := links.probe(node.namespace, wanted)).values():
        if time.monotonic() > end:
            raise LabError(f"{name} does not reach {[target for target, state in seen.items() if state == 'cut']}")
    return Effect("heal", name, f"{name} reaches {', '.join(seen) or 'nothing that runs'}", facts={"targets": seen})


def _answering(lab: Lab, targets: list[str]) -> list[str]:
    """Those that could answer, seen from the control plane: a killed or cut peer proves nothing."""
    seen = links.probe(lab.layout.control_namespace, targets)
    return [target for target, state in seen.items() if state == "open"]


def stop_api(lab: Lab) -> Effect:
    """End the API server; etcd, controllers and nodes go on without it."""
    record = process.find(lab.layout.processes, "api")
    if record is None or not process.alive(record):
        return Effect("stop-api", "api", "the API server was not running")
    process.stop(lab.layout.processes, [record], grace=0)
    if lab.api.ready():
        raise LabError("the API still answers")
    return Effect("stop-api", "api", f"the API server (pid {record.pid}) is gone", facts={"pid": record.pid})


def start_api(lab: Lab) -> Effect:
    """Start the API server again; returns when it is ready."""
    began = time.monotonic()
    if not lab.start_api():
        return Effect("start-api", "api", "the API server was running")
    seconds = time.monotonic() - began
    return Effect("start-api", "api", f"the API is ready after {seconds:.1f} s", facts={"seconds": seconds})


def network_of(lab: Lab, name: str) -> str:
    """The node's network namespace, for tests that want more than `cut`."""
    namespace = lab.node(name).namespace
    if not network.exists(namespace):
        raise LabError(f"{name} has no network: it is off")
    return namespace
