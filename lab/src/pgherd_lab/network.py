"""The lab's network: a namespace for the control plane with a bridge in it, and one per node, joined by veth pairs.

Everything happens inside namespaces of the lab's own; the machine's interfaces, routes and firewall are not touched,
so that two labs may use the same addresses. A namespace lives from `up` (or `start-node`) to `down` (or `kill-node`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pgherd_lab.process import run

BRIDGE = "br0"
CONTROL = "10.250.0.1"
API = f"https://{CONTROL}:6443"
SERVICES = "10.96.0.0/16"
API_SERVICE = "10.96.0.1"
DNS_SERVICE = "10.96.0.10"
PODS = "10.244.0.0/16"
FOLDER = Path("/run/netns")


def number(node: str) -> int:
    """`node2` -> 2."""
    return int(node.removeprefix("node"))


def address(node: str) -> str:
    """The node's own address on the bridge."""
    return f"10.250.0.{10 + number(node)}"


def pods(node: str) -> str:
    """The node's share of the pods' addresses."""
    return f"10.244.{number(node)}.0/24"


def hardware(own: str) -> str:
    """A MAC address that belongs to an address for good.

    Left to the kernel, the bridge takes the lowest of its ports' and changes it when that node dies: every other
    node would then send to nobody for half a minute, until its neighbour table has noticed.
    """
    return "02:00:" + ":".join(f"{int(part):02x}" for part in own.split("."))


def exists(namespace: str) -> bool:
    return (FOLDER / namespace).exists()


def inside(namespace: str, *command: str) -> tuple[str, ...]:
    """A command that runs in the namespace; nsenter, because `ip netns exec` hides /sys/fs/cgroup."""
    return ("nsenter", f"--net={FOLDER / namespace}", *command)


def batch(namespace: str, lines: Sequence[str], *, force: bool = False) -> None:
    """Several `ip` commands in one call; with `force` a failing one does not stop the rest."""
    options = ["-force"] if force else []
    run(["ip", "-n", namespace, *options, "-batch", "-"], 20, stdin="\n".join(lines) + "\n", check=not force)


def sysctl(namespace: str, **values: str) -> None:
    """Set net.* values in a namespace; keys have `_` doubled for a dot: net__ipv4__ip_forward."""
    lines = [f"echo {value} > /proc/sys/{key.replace('__', '/')}" for key, value in values.items()]
    run(inside(namespace, "sh", "-c", " && ".join(lines)), 10)


def create_control(namespace: str) -> None:
    """The control plane's namespace with the bridge that everything is attached to."""
    run(["ip", "netns", "add", namespace], 10)
    batch(namespace, [
        "link set lo up",
        f"link add {BRIDGE} address {hardware(CONTROL)} type bridge",
        f"addr add {CONTROL}/24 dev {BRIDGE}",
        f"link set {BRIDGE} up",
    ])  # fmt: skip
    sysctl(namespace, net__ipv4__ip_forward="1")


def attach(control: str, namespace: str, own: str, port: str) -> None:
    """A new namespace joined to the bridge: `own` is its address, `port` the name of the bridge's end."""
    run(["ip", "netns", "add", namespace], 10)
    run(["ip", "-n", control, "link", "add", port, "type", "veth", "peer", "name", "eth0",
         "address", hardware(own), "netns", namespace], 10)  # fmt: skip
    batch(control, [f"link set {port} master {BRIDGE}", f"link set {port} up"])
    batch(namespace, [
        "link set lo up",
        f"addr add {own}/24 dev eth0",
        "link set eth0 up",
        f"route add default via {CONTROL}",
    ])  # fmt: skip


def detach(control: str, namespace: str, port: str) -> None:
    """Undo `attach`; the pair goes first, because a deleted namespace lets go of it only later."""
    if exists(control) and port in links(control):
        batch(control, [f"link delete {port}"], force=True)
    delete(namespace)


def create_node(control: str, namespace: str, node: str, nodes: Sequence[str]) -> None:
    """The node's namespace, and the routes between its pods and everybody else's."""
    attach(control, namespace, address(node), node)
    others = [f"route add {pods(other)} via {address(other)}" for other in nodes if other != node]
    if others:
        batch(namespace, others)
    batch(control, [f"route replace {pods(node)} via {address(node)}"])
    sysctl(namespace, net__ipv4__ip_forward="1", net__ipv4__conf__all__rp_filter="0")


def delete(namespace: str) -> None:
    """Remove the namespace if it exists; the kernel removes its interfaces."""
    if exists(namespace):
        run(["ip", "netns", "delete", namespace], 10)


def names(prefix: str) -> list[str]:
    """Namespaces of one lab."""
    return sorted(path.name for path in FOLDER.glob(f"{prefix}-*")) if FOLDER.is_dir() else []


def members(namespace: str) -> list[int]:
    """Processes that have the namespace as their own: in a lab's namespace, all of them are the lab's."""
    return [int(line) for line in run(["ip", "netns", "pids", namespace], 20, check=False).split()]


def links(namespace: str) -> list[str]:
    found = json.loads(run(["ip", "-n", namespace, "-json", "link"], 10) or "[]")
    return [str(link["ifname"]) for link in found]
