"""The lock as one EndpointSlice (https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/).

For clusters that dropped the Endpoints API, at half the cost: kube-proxy reads it as it is, nothing is mirrored. The
label makes it the Service's; `managed-by` keeps the controllers' hands off it. There must be no Endpoints of this name:
they would be mirrored into a second slice, and clients sent to both.
"""

from __future__ import annotations

import itertools
from typing import Any

from lightkube.resources.discovery_v1 import EndpointSlice

from pgherd.kubernetes.annotated import PORT_NAME, Kind, target
from pgherd.model.lease import Lease

SERVICE = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "pgherd"


def _address(item: EndpointSlice) -> str | None:
    addresses = itertools.chain.from_iterable(endpoint.addresses or () for endpoint in item.endpoints or ())
    return next(iter(addresses), None)


def _routing(record: Lease, namespace: str, port: int) -> dict[str, Any]:
    ports = [{"name": PORT_NAME, "port": port, "protocol": "TCP"}]
    if record.address is None:
        return {"endpoints": [], "ports": ports}
    ready = {"ready": True, "serving": True, "terminating": False}
    endpoint = {"addresses": [record.address], "conditions": ready, "targetRef": target(record, namespace)}
    return {"endpoints": [endpoint], "ports": ports}


def _frame(service: str) -> dict[str, Any]:
    return {"addressType": "IPv4", "labels": {SERVICE: service, MANAGED_BY: MANAGER}}


ENDPOINT_SLICE = Kind(EndpointSlice, "endpointslice", _address, _routing, _frame)
