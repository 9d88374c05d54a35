"""Cut links of a node: nftables rules in the node's own namespace, in a table that nothing else uses.

The cut is silent, as a pulled cable is: packets vanish, nobody gets a reset. `api` cuts the API server's and the
kubelet's TCP, names still resolve; `nodes` cuts other nodes and their pods; `all` cuts the cable. A `loss` below 100
thins the link out instead: each packet vanishes with that probability (nftables' own random numbers, since the
kernel's netem is often not there).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from pgherd_lab import network
from pgherd_lab.process import run

TABLE = "pgherd_fault"
WHAT = ("api", "nodes", "all")
PROBE = """
import socket, sys
for target in sys.argv[1:]:
    host, _, port = target.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 0.7).close()
        print("open")
    except ConnectionRefusedError:
        print("open")
    except OSError:
        print("cut")
"""


def matches(node: str, peers: Sequence[str], what: str) -> list[str]:
    """The nftables expressions of packets that vanish, at input, output and forward alike."""
    if what == "all":
        return ['iifname "eth0"', 'oifname "eth0"']
    if what == "api":
        return [f"ip daddr {network.CONTROL} meta l4proto tcp", f"ip saddr {network.CONTROL} meta l4proto tcp"]
    others = [each for peer in peers if peer != node for each in (network.address(peer), network.pods(peer))]
    if not others:
        return []
    listed = "{ " + ", ".join(others) + " }"
    return [f"ip daddr {listed}", f"ip saddr {listed}"]


def ruleset(node: str, peers: Sequence[str], what: str, loss: int = 100) -> str:
    """The whole table. Priority 10: after the Services' address translation, which it must see through."""
    chance = "" if loss >= 100 else f"numgen random mod 100 < {loss} "
    chains = []
    for hook in ("input", "output", "forward"):
        found = matches(node, peers, what)
        if hook == "input":
            found = [each for each in found if "oifname" not in each]
        if hook == "output":
            found = [each for each in found if "iifname" not in each]
        rules = "\n".join(f"    {each} {chance}counter drop" for each in found)
        head = f"    type filter hook {hook} priority 10; policy accept;"
        chains.append(f"  chain {hook} {{\n{head}\n{rules}\n  }}")
    body = "\n".join(chains)
    return f"table inet {TABLE} {{}}\ndelete table inet {TABLE}\ntable inet {TABLE} {{\n{body}\n}}\n"


def cut(namespace: str, node: str, peers: Sequence[str], what: str, loss: int = 100) -> None:
    run(network.inside(namespace, "nft", "-f", "-"), 10, stdin=ruleset(node, peers, what, loss))


def dropped(namespace: str) -> int:
    """Packets that the rules have taken so far."""
    shown = json.loads(run(network.inside(namespace, "nft", "-j", "list", "table", "inet", TABLE), 10))
    expressions = (each for item in shown["nftables"] if "rule" in item for each in item["rule"]["expr"])
    return sum(each["counter"]["packets"] for each in expressions if "counter" in each)


def heal(namespace: str) -> None:
    text = f"table inet {TABLE} {{}}\ndelete table inet {TABLE}\n"
    run(network.inside(namespace, "nft", "-f", "-"), 10, stdin=text)


def targets(node: str, peers: Sequence[str], what: str) -> list[str]:
    """Addresses by which a cut shows."""
    api = f"{network.CONTROL}:6443"
    others = [f"{network.address(peer)}:10250" for peer in peers if peer != node]
    return {"api": [api], "nodes": others, "all": [api, *others]}[what]


def probe(namespace: str, addresses: Sequence[str]) -> dict[str, str]:
    """`open` or `cut` for each address, tried from inside the namespace (0.7 s each at most)."""
    if not addresses:
        return {}
    out = run(network.inside(namespace, sys.executable, "-I", "-c", PROBE, *addresses), 30)
    return dict(zip(addresses, out.split(), strict=True))
