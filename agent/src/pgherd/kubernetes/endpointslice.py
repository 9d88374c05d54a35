"""The lock as one EndpointSlice (https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/).

For clusters that dropped the Endpoints API. It names the primary's address as Endpoints would, and is no Service's: it
bears no Service's name, `managed-by` keeps the controllers' hands off it, and what is called headless kube-proxy does
not even look at, while it is renewed (kubernetes/route.py).
"""

from __future__ import annotations

from typing import Any

from lightkube.resources.discovery_v1 import EndpointSlice

from pgherd.kubernetes.annotated import Kind, target
from pgherd.kubernetes.route import MANAGED_BY, MANAGER, addresses, fields
from pgherd.model.lease import Lease

HEADLESS = "service.kubernetes.io/headless"


def _address(item: EndpointSlice) -> str | None:
    return next(iter(addresses(item)), None)


def _routing(record: Lease, namespace: str, port: int) -> dict[str, Any]:
    return fields(record.address, target(record, namespace), port)


def _frame(service: str) -> dict[str, Any]:
    return {"addressType": "IPv4", "labels": {HEADLESS: "", MANAGED_BY: MANAGER}}


ENDPOINT_SLICE = Kind(EndpointSlice, "endpointslice", _address, _routing, _frame)
