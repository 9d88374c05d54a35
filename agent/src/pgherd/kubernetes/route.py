"""The route: EndpointSlice `<cluster>-ha-route` of Service `<cluster>-ha`, apart from the lock, which is always renewed
(https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/).

kube-proxy takes every change of a Service's slice, of an annotation too, for a reason to write its rules again, and
rests a second after each time: a route in the renewed object, or mirrored from it, comes up to a second late when it
matters, and each renewal is work on every node. `managed-by` keeps the controllers' hands off it.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping
from typing import Any

from lightkube.core.async_client import AsyncClient
from lightkube.resources.discovery_v1 import EndpointSlice

from pgherd.kubernetes.annotated import PORT_NAME, OneObject
from pgherd.kubernetes.follow import Report, follow
from pgherd.kubernetes.store import RouteSeen
from pgherd.model.route import Route

SERVICE = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "pgherd"


def addresses(item: EndpointSlice) -> tuple[str, ...]:
    return tuple(itertools.chain.from_iterable(endpoint.addresses or () for endpoint in item.endpoints or ()))


def fields(address: str | None, pod: Mapping[str, Any], port: int) -> dict[str, Any]:
    """What a slice says when it has this address, of this pod, or none."""
    ready = {"ready": True, "serving": True, "terminating": False}
    endpoint = {"addresses": [address], "conditions": ready, "targetRef": dict(pod)}
    ports = [{"name": PORT_NAME, "port": port, "protocol": "TCP"}]
    return {"endpoints": [] if address is None else [endpoint], "ports": ports}


def route_seen(item: EndpointSlice | None) -> RouteSeen:
    if item is None or item.metadata is None:
        return RouteSeen()
    return RouteSeen(item.metadata.resourceVersion or "", addresses(item))


class SliceRoute:
    """RouteStore. `writes` is the lease's client: its connection is open, and the lease was written just before."""

    SILENCE = 60.0
    """Seconds without a change after which the object is read again."""

    def __init__(
        self, reads: AsyncClient, writes: AsyncClient, service: str, labels: Mapping[str, str], address: str, port: int,
        report: Report,
    ) -> None:  # fmt: skip
        """`address`: of this pod, whose kind all pods' addresses have; a slice has those of one kind only."""
        self._family = "IPv6" if ":" in address else "IPv4"
        self._name = f"{service}-route" + ("-ipv6" if self._family == "IPv6" else "")
        self._labels = {**labels, SERVICE: service, MANAGED_BY: MANAGER}
        self._namespace, self._port, self._report = str(writes.namespace), port, report
        self._reads = OneObject(reads, EndpointSlice, "endpointslice", self._name)
        self._writes = OneObject(writes, EndpointSlice, "endpointslice", self._name)

    async def read(self, limit: float) -> RouteSeen:
        return route_seen(await self._writes.read(limit))

    async def write(self, route: Route | None, version: str, limit: float) -> RouteSeen:
        pod = {"kind": "Pod", "namespace": self._namespace, "name": route.member, "uid": route.uid} if route else {}
        said = fields(route.address if route else None, pod, self._port)
        if version:
            return route_seen(await self._writes.patch({"metadata": {"resourceVersion": version}, **said}, limit))
        made = {"metadata": {"name": self._name, "labels": self._labels}, "addressType": self._family, **said}
        return route_seen(await self._writes.create(made, limit))

    async def follow(self) -> AsyncIterator[RouteSeen]:
        async for item in follow(self._reads, lambda: self.SILENCE, self._report):
            yield route_seen(item)
