"""Contenders that wait for their turn must not slow the one that is measured down.

kube-proxy rests a second after each change of a slice, whoever's it is. Patroni's Endpoints carry lock and route, so
each of its renewals is such a change, also for the route of a cluster beside it. kube-proxy does not look at slices
with the label below, which is for Services that it has nothing to do with. Everything else of a contender goes on; its
own clients do not reach it meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks.failover.contenders import Contender, cluster, read
from pgherd_lab.demo.console import output, wait

LABEL = "service.kubernetes.io/headless"
"""https://kubernetes.io/docs/reference/labels-annotations-taints/#servicekubernetesioheadless"""
BEGINNING = 180.0
"""Seconds until a contender that is made has Endpoints: who makes them is its own affair."""
LIMIT = 30.0
"""Seconds that the controller has to copy the label into the slice; it does so with a renewal at the latest."""


def turn(contenders: Iterable[Contender], name: str) -> None:
    """`name`'s route is kube-proxy's business, no other's that renewals change is."""
    for contender in contenders:
        if contender.renews_route:
            hide(contender, contender.name != name)


def show(contenders: Iterable[Contender]) -> None:
    """All of them are reached."""
    for contender in contenders:
        if contender.renews_route:
            hide(contender, False)


def hide(contender: Contender, hidden: bool) -> None:
    """Returns when the slice says so, for a new contender as soon as it has one. Raises Failed."""
    wait(f"{contender.name} to have a route", lambda: _slices(contender) or None, BEGINNING)
    change = f"{LABEL}=" if hidden else f"{LABEL}-"
    command = (*cluster(contender).kubectl, "label", "--overwrite", "endpoints", contender.service, change)
    output(command, limit=30)
    wait(f"the route of {contender.name} to be {'hidden' if hidden else 'seen'}", lambda: _is(contender, hidden), LIMIT)


def _is(contender: Contender, hidden: bool) -> bool | None:
    """None while some slice says otherwise."""
    slices = _slices(contender)
    return (bool(slices) and all((LABEL in each["metadata"]["labels"]) == hidden for each in slices)) or None


def _slices(contender: Contender) -> list[dict[str, Any]]:
    selector = f"kubernetes.io/service-name={contender.service}"
    path = f"/apis/discovery.k8s.io/v1/namespaces/{contender.namespace}/endpointslices?labelSelector={selector}"
    found: list[dict[str, Any]] = read(path)["items"]
    return found
